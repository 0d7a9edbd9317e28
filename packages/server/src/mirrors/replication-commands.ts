import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { isPatternOf } from "../access/repository-pattern.ts";
import { accept, type CommandDefinition, defineCommand, type Refusal, refuse } from "../record/command.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { filterOfRow, replicationName, replicationSchema } from "./replication.ts";
import { countReplications, currentReplication } from "./replication-queries.ts";
import { credentialId, hostsOfRow, readRemoteUrl } from "./setting.ts";

/** The one answer for a replication that is not there and for one that is not yours. */
export function replicationUnknown(name: string): Refusal {
  return {
    code: "replication-unknown",
    status: 404,
    message: `there is no replication ${JSON.stringify(name)} that you may administer`,
  };
}

/** The life of replications. A credential is in no command: only its name. */
export const replicationCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "replications.set",
    body: replicationSchema.extend({
      name: replicationName,
      /** A new credential's name; null: none; absent: the one it has. */
      credential: credentialId.nullable().optional(),
    }),
    decide: async (reader, body, { org, actor, time }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const elsewhere = body.repositories.find((pattern) => !isPatternOf(org, pattern));
      if (elsewhere !== undefined) {
        return refuse("repository-elsewhere", `${elsewhere} names no repositories of ${org}`, {
          status: 400,
          hint: `write it as ${org}/<name>`,
        });
      }
      const pushes = body.direction === "push";
      const odd = pushes ? body.url === null : body.url !== null || body.onEvents || (body.credential ?? null) !== null;
      if (odd) {
        return refuse(
          "replication-invalid",
          `a replication that ${body.direction}es is set otherwise`.replace("pulles", "pulls"),
          {
            status: 400,
            hint: pushes
              ? "say where to: a URL"
              : "one that pulls has no URL and no credential, the mirrors have theirs, and goes by time",
          },
        );
      }
      const current = await currentReplication(reader, org, body.name);
      if (current === undefined && (await countReplications(reader, org)) >= MIRROR_LIMITS.replications) {
        return refuse("replications-full", `an organisation has at most ${MIRROR_LIMITS.replications} replications`);
      }
      const kept = current?.credential ?? null;
      if (body.credential === undefined && kept !== null && current !== undefined) {
        // Whoever may point it elsewhere need not know the credential: it goes nowhere it was not given for.
        const known = new Set([readRemoteUrl(current.url ?? "")?.origin, ...hostsOfRow(current)]);
        const places = [readRemoteUrl(body.url ?? "")?.origin, ...body.tokenHosts];
        const other = places.find((place) => place !== undefined && !known.has(place));
        if (other !== undefined) {
          return refuse("credential-needed", `the credential of ${body.name} was not given for ${other}`, {
            hint: "give the credential again, or leave it out with --no-credential",
          });
        }
      }
      const given = body.credential === undefined ? kept : body.credential;
      const event = { ...body, credential: pushes ? given : null };
      const { repositories, tags, url, tokenHosts, onEvents, everyMs, evidence, direction } = event;
      if (
        current !== undefined &&
        JSON.stringify([
          direction,
          repositories,
          tags,
          url,
          event.credential,
          tokenHosts,
          onEvents,
          everyMs,
          evidence,
        ]) ===
          JSON.stringify([
            current.direction,
            filterOfRow(current).repositories,
            filterOfRow(current).tags,
            current.url,
            current.credential,
            hostsOfRow(current),
            current.on_events === 1,
            current.every_ms,
            current.evidence === 1,
          ])
      ) {
        return accept([], { set: current.set_time });
      }
      return accept([{ type: "replications.set", body: event }], { set: time });
    },
  }),
  defineCommand({
    type: "replications.remove",
    body: z.strictObject({ name: z.string().max(64) }),
    decide: async (reader, { name }, { org, actor }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if ((await currentReplication(reader, org, name)) === undefined) {
        return { accepted: false, refusal: replicationUnknown(name) };
      }
      return accept([{ type: "replications.removed", body: { name } }]);
    },
  }),
];
