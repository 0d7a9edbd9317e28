import { sql } from "kysely";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { isSiblingRepository } from "../access/names.ts";
import {
  accept,
  type Actor,
  type Command,
  type CommandDefinition,
  defineCommand,
  defineEvent,
  type EventDefinition,
  refuse,
} from "../record/command.ts";
import { otherPrimary } from "./queries.ts";
import type { AttestationTables } from "./schema.ts";

const repository = z.string().max(255);
const carried = z.strictObject({ from: repository, to: repository });

/** What is appended with the rename of a repository, so that its evidence goes along. */
export function evidenceCarried(rename: {
  readonly org: string;
  readonly actor: Actor;
  readonly from: string;
  readonly to: string;
}): Command[] {
  const { org, actor, from, to } = rename;
  return [{ type: "attestations.carry", org, actor, body: { from, to } }];
}

/** A repository has another name: what was given to it, and what is primary there, is so under the new name too. */
export const carryCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "attestations.carry",
    body: carried,
    decide: async (reader, { from, to }, { actor, org }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if (!from.startsWith(`${org}/`) || !to.startsWith(`${org}/`)) {
        return refuse("repository-elsewhere", `${from} and ${to} are not both of ${org}`, { status: 400 });
      }
      // INVARIANT: per repository an artifact has at most one primary provenance, whatever names the repository has had.
      const other = await otherPrimary(reader, org, from, to);
      if (other !== undefined) {
        return refuse(
          "primary-provenance-exists",
          `${other} has another primary build provenance in ${to} than in ${from}`,
          { hint: "choose a name that no evidence was given to" },
        );
      }
      return accept([{ type: "attestations.repository-renamed", body: { from, to } }]);
    },
  }),
];

export const carryEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "attestations.repository-renamed",
    version: 1,
    body: carried,
    redactable: { "/from": isSiblingRepository, "/to": isSiblingRepository },
    project: async (transactor, { body, org, sequence }) => {
      const tables = transactor.tables<AttestationTables>();
      const place = sql<string>`cast(${body.to} as text)`.as("repository");
      const now = sql<number>`cast(${sequence} as bigint)`.as("sequence");
      await tables
        .insertInto("evidence_repository")
        .columns(["repository", "sequence", "org", "digest", "manifest"])
        .expression((is) =>
          is
            .selectFrom("evidence_repository")
            .select([place, now, "org", "digest", "manifest"])
            .where("org", "=", org)
            .where("repository", "=", body.from),
        )
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      await tables
        .insertInto("primary_provenance")
        .columns([
          "repository",
          "sequence",
          "org",
          "subject",
          "evidence",
          "payload_digest",
          "key_id",
          "entry",
          "trust_version",
        ])
        .expression((is) =>
          is
            .selectFrom("primary_provenance")
            .select([place, now, "org", "subject", "evidence", "payload_digest", "key_id", "entry", "trust_version"])
            .where("org", "=", org)
            .where("repository", "=", body.from),
        )
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    },
  }),
];
