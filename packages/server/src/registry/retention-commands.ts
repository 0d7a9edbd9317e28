import { type JsonValue, parseDigest } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { accept, type CommandDefinition, defineCommand, type NewEvent, refuse } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { DeletionHolds } from "./deletion-commands.ts";
import { nameHeld } from "./repository-commands.ts";
import { findRepository } from "./repository-queries.ts";
import { type InUse, type Judged, judgeTags, judgeUntagged, type RetentionQuestion } from "./retention-plan.ts";
import { currentRetention, type DatedTag, datedTag, manifestNow, standsAlone } from "./retention-queries.ts";
import { retentionRulesSchema } from "./retention-rules.ts";
import { isTag } from "./tag-rules.ts";

/** What one command deletes at most. */
export const RETENTION_STEP = 100;

const setBody = z.strictObject({ repository: z.string(), rules: retentionRulesSchema });

const applyBody = z.strictObject({
  repository: z.string(),
  /** Of the rules the plan was made by: others are not applied. */
  version: z.int().positive(),
  tags: z.array(z.string().refine(isTag, "not a tag")).max(RETENTION_STEP),
  manifests: z
    .array(
      z
        .string()
        .regex(/^sha256:[0-9a-f]{64}$/)
        .transform((text) => parseDigest(text)),
    )
    .max(RETENTION_STEP),
});

/** How many of each a command deleted. */
export const applyResult = z.strictObject({ tags: z.int(), manifests: z.int() });

/** What runs now, asked in the transaction; what else is in use was asked before the command, and the plan left it out. */
function runningNow(reader: Reader, holds: Pick<DeletionHolds, "runsIn">): InUse {
  return async (org, _repository, digests) => {
    const running = new Map<string, string>();
    for (const digest of digests) {
      const [first] = await holds.runsIn(reader, org, digest);
      if (first !== undefined) running.set(digest, `it runs in ${first}`);
    }
    return running;
  };
}

function why(version: number, { rule, why: because }: Judged): string {
  return `retention rule ${rule} (version ${version}): ${because}`;
}

async function tagEvents(
  reader: Reader,
  question: RetentionQuestion,
  inUse: InUse,
  { version, tags: names }: { readonly version: number; readonly tags: readonly string[] },
): Promise<NewEvent[]> {
  const { repository } = question;
  const tags: DatedTag[] = [];
  for (const name of new Set(names)) {
    const tag = await datedTag(reader, repository, name);
    if (tag !== undefined) tags.push(tag);
  }
  const judged = await judgeTags(reader, question, inUse, tags);
  return judged.flatMap((one) =>
    one.goes && one.tag !== null
      ? [
          {
            type: "registry.tag-deleted",
            body: { repository, tag: one.tag, digest: one.digest, reason: why(version, one) },
          },
        ]
      : [],
  );
}

/** Setting what goes from a repository by itself, and letting it go. */
export const retentionCommands = (holds: Pick<DeletionHolds, "runsIn">): readonly CommandDefinition[] => [
  defineCommand({
    type: "registry.set-retention",
    body: setBody,
    decide: async (reader, { repository, rules }, { actor, org }) => {
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      if (!repository.startsWith(`${org}/`)) {
        return refuse("repository-invalid", `${repository} is not a repository of ${org}`, { status: 400 });
      }
      // INVARIANT: a name whose repository ended has no rules: those it had come back with it, or went along to its new name.
      const known = await findRepository(reader, repository);
      if (known?.ended !== undefined) return nameHeld(known);
      const current = await currentRetention(reader, repository);
      const same = JSON.stringify(current?.rules ?? []) === JSON.stringify(rules);
      if (same) return accept([], { version: current?.version ?? 0 });
      const version = (current?.version ?? 0) + 1;
      // As JSON has it: members that are not there are left out.
      const written = JSON.parse(JSON.stringify(rules)) as JsonValue;
      return accept([{ type: "registry.retention-set", body: { repository, version, rules: written } }], { version });
    },
  }),
  // Everything is judged again as it is in this transaction: what was pulled, tagged anew or set since the plan stays.
  defineCommand({
    type: "registry.apply-retention",
    body: applyBody,
    decide: async (reader, body, { actor, org, time }) => {
      if (actor.credential.kind !== "system") {
        return refuse("forbidden", "retention rules are applied by the server itself", { status: 403 });
      }
      const { repository, version } = body;
      const current = await currentRetention(reader, repository);
      if (current?.version !== version || current.org !== org) {
        return refuse("retention-changed", `the retention rules of ${repository} were changed meanwhile`, {
          hint: "look at what they would do now, and run them again",
        });
      }
      const inUse = runningNow(reader, holds);
      const question = { org, repository, rules: current.rules, now: time };
      const tags = await tagEvents(reader, question, inUse, body);
      const manifests: NewEvent[] = [];
      for (const digest of new Set(body.manifests)) {
        const untagged = await manifestNow(reader, repository, digest);
        if (untagged === undefined || !(await standsAlone(reader, repository, digest, untagged.subject))) continue;
        for (const one of await judgeUntagged(reader, question, inUse, [untagged])) {
          if (!one.goes) continue;
          const reason = why(version, one);
          manifests.push({ type: "registry.manifest-deleted", body: { repository, digest, tags: [], reason } });
        }
      }
      return accept([...tags, ...manifests], { tags: tags.length, manifests: manifests.length });
    },
  }),
];
