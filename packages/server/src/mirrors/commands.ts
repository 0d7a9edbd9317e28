import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository, mirrorId } from "../access/names.ts";
import { accept, type Actor, type CommandDefinition, defineCommand, type Refusal, refuse } from "../record/command.ts";
import { repositoryExists, resolveTag } from "../registry/queries.ts";
import { isReleaseTag } from "../registry/tag-rules.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { countMirrors, currentMirror, tagRefused, wasMirror } from "./queries.ts";
import { credentialId, hostsOfRow, mirrorSchema, readRemoteUrl } from "./setting.ts";

/**
 * Who writes into a repository what its upstream has. No request can make such an actor (access/authenticate.ts never does).
 *
 * @param setting the event that set the mirror.
 */
export function mirrorActor(repository: string, setting: number): Actor {
  return { id: mirrorId(repository), credential: { kind: "mirror", setting } };
}

/** The one answer for a mirror that is not there and for one that is not yours. */
export function mirrorUnknown(repository: string): Refusal {
  return {
    code: "mirror-unknown",
    status: 404,
    message: `there is no mirror ${JSON.stringify(repository)} that you may administer`,
  };
}

const repository = z.string().max(255);

/** The life of mirrors. A credential is in no command: only its name. */
export const mirrorCommands: readonly CommandDefinition[] = [
  defineCommand({
    type: "mirrors.set",
    body: mirrorSchema.extend({
      repository,
      /** A new credential's name; null: none; absent: the one it has. */
      credential: credentialId.nullable().optional(),
    }),
    decide: async (reader, body, { org, actor, time }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const name = canonicalRepository(body.repository, org);
      if (name?.repository !== body.repository || name.org !== org) {
        return refuse("repository-elsewhere", `${body.repository} names no repository of ${org}`, {
          status: 400,
          hint: `write it as ${org}/<name>`,
        });
      }
      const current = await currentMirror(reader, body.repository);
      if (current === undefined) {
        // What somebody pushed is never made to look as if it came from an upstream.
        if ((await repositoryExists(reader, body.repository)) && !(await wasMirror(reader, body.repository))) {
          return refuse("repository-not-empty", `${body.repository} has, or had, manifests that were pushed to it`, {
            hint: "mirror into a repository that nobody has pushed to",
          });
        }
        if ((await countMirrors(reader, org)) >= MIRROR_LIMITS.perOrganisation) {
          return refuse("mirrors-full", `an organisation has at most ${MIRROR_LIMITS.perOrganisation} mirrors`);
        }
      }
      const kept = current?.credential ?? null;
      if (body.credential === undefined && kept !== null && current !== undefined) {
        // Whoever may point a mirror elsewhere need not know the credential: it goes nowhere it was not given for.
        const known = new Set([readRemoteUrl(current.url)?.origin, ...hostsOfRow(current)]);
        const elsewhere = [readRemoteUrl(body.url)?.origin, ...body.tokenHosts].filter((place) => !known.has(place));
        if (elsewhere.length > 0) {
          return refuse("credential-needed", `the credential of ${body.repository} was not given for ${elsewhere[0]}`, {
            hint: "give the credential again, or leave it out with --no-credential",
          });
        }
      }
      const credential = body.credential === undefined ? kept : body.credential;
      const event = { ...body, credential };
      if (
        current !== undefined &&
        JSON.stringify([
          current.url,
          current.credential,
          hostsOfRow(current),
          current.max_age_ms,
          current.stale,
          current.evidence === 1,
        ]) === JSON.stringify([body.url, credential, body.tokenHosts, body.maxAgeMs, body.stale, body.evidence])
      ) {
        return accept([], { set: current.set_time });
      }
      return accept([{ type: "mirrors.set", body: event }], { set: time });
    },
  }),
  defineCommand({
    type: "mirrors.remove",
    body: z.strictObject({ repository }),
    decide: async (reader, body, { org, actor }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const current = await currentMirror(reader, body.repository);
      if (current?.org !== org) return { accepted: false, refusal: mirrorUnknown(body.repository) };
      return accept([{ type: "mirrors.removed", body: { repository: body.repository } }]);
    },
  }),
  // The upstream moved a tag that never moves. That it did, and that nothing moved here, is itself a fact.
  defineCommand({
    type: "mirrors.refuse-tag",
    body: z.strictObject({ repository, tag: z.string().max(128), refused: z.string().max(200) }),
    decide: async (reader, body, { org, actor }) => {
      const refusal = await authorize(reader, actor, "registry.push", { org, repository: body.repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const current = await currentMirror(reader, body.repository);
      if (current === undefined || current.org !== org || actor.id !== mirrorId(body.repository)) {
        return { accepted: false, refusal: mirrorUnknown(body.repository) };
      }
      const names = (await resolveTag(reader, body.repository, body.tag))?.digest;
      if (names === undefined || names === body.refused || !isReleaseTag(body.tag)) return accept([]);
      if (await tagRefused(reader, body.repository, body.tag, body.refused)) return accept([]);
      return accept([{ type: "mirrors.tag-refused", body: { ...body, names, url: current.url } }]);
    },
  }),
];
