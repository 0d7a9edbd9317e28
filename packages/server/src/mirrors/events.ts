import { z } from "zod";
import { isSiblingRepository } from "../access/names.ts";
import { defineEvent, type EventDefinition } from "../record/command.ts";
import type { Transactor } from "../storage/database.ts";
import { type MirrorTables, STALE_RULES } from "./schema.ts";

const setBody = z.strictObject({
  repository: z.string(),
  url: z.string(),
  /** Names what the upstream is asked with; the thing itself is in no event. */
  credential: z.string().nullable(),
  tokenHosts: z.array(z.string()),
  maxAgeMs: z.int().nonnegative(),
  stale: z.enum(STALE_RULES),
  evidence: z.boolean(),
});

const tagRefusedBody = z.strictObject({
  repository: z.string(),
  tag: z.string(),
  /** What it names here, and goes on to name. */
  names: z.string(),
  /** What the upstream has it name. */
  refused: z.string(),
  url: z.string(),
});

/** A URL in the place of one that is redacted: of a host that is none (RFC 2606). */
const nowhere = (replacement: string): boolean =>
  URL.canParse(replacement) && /^https:\/\/[^/]+\.invalid\/[a-z0-9]/.test(replacement);

async function end(transactor: Transactor, repository: string, sequence: number): Promise<void> {
  await transactor
    .tables<MirrorTables>()
    .updateTable("mirror")
    .set({ to_seq: sequence })
    .where("repository", "=", repository)
    .where("to_seq", "is", null)
    .execute();
}

/** Which repositories mirror what: facts of their organisation's chain. No secret is in them. */
export const mirrorEvents: readonly EventDefinition[] = [
  defineEvent({
    type: "mirrors.set",
    version: 1,
    body: setBody,
    redactable: { "/repository": isSiblingRepository, "/url": nowhere },
    project: async (transactor, { body, org, sequence, time, actor }) => {
      await end(transactor, body.repository, sequence);
      await transactor
        .tables<MirrorTables>()
        .insertInto("mirror")
        .values({
          org,
          repository: body.repository,
          url: body.url,
          credential: body.credential,
          token_hosts: JSON.stringify(body.tokenHosts),
          max_age_ms: body.maxAgeMs,
          stale: body.stale,
          evidence: body.evidence ? 1 : 0,
          set_time: time,
          set_by: actor,
          from_seq: sequence,
          to_seq: null,
        })
        .execute();
    },
  }),
  defineEvent({
    type: "mirrors.removed",
    version: 1,
    body: z.strictObject({ repository: z.string() }),
    redactable: { "/repository": isSiblingRepository },
    project: (transactor, { body, sequence }) => end(transactor, body.repository, sequence),
  }),
  defineEvent({
    type: "mirrors.tag-refused",
    version: 1,
    body: tagRefusedBody,
    redactable: { "/repository": isSiblingRepository, "/url": nowhere },
    project: async (transactor, { body, org, sequence }) => {
      await transactor
        .tables<MirrorTables>()
        .insertInto("mirror_refused_tag")
        .values({ org, repository: body.repository, tag: body.tag, refused: body.refused, sequence })
        .execute();
    },
  }),
];
