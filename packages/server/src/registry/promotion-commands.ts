import { parseDigest } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import { accept, type CommandDefinition, defineCommand, type Refusal, refuse } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { companyOf, runningAmong } from "./promotion-queries.ts";
import type { PushRule } from "./push-rule.ts";
import { findManifest, findManifests, resolveTag } from "./queries.ts";
import { contentOf } from "./quota-queries.ts";
import { roomFor } from "./quota-rule.ts";
import { foreignRepository, movedTag, nameHeld } from "./repository-commands.ts";
import { findRepository } from "./repository-queries.ts";
import { DEFAULT_SETTINGS } from "./repository-settings.ts";
import { isEvidenceTag, isTag } from "./tag-rules.ts";

/** A decision that a promotion rests on. */
export interface PromotionDecision {
  /** The decision's id. */
  readonly decision: string;
  readonly org: string;
  /** Where the artifact goes, by its whole name. */
  readonly repository: string;
  readonly digest: string;
  /** The stored policy that the destination demands. */
  readonly policy: string;
}

/**
 * Whether a decision allows a promotion, now: asked of the gate, above this room, inside the appending transaction.
 *
 * @returns why not; undefined when it does.
 */
export type PromotionGate = (reader: Reader, asked: PromotionDecision) => Promise<Refusal | undefined>;

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));

const name = z.string().max(255);

export const promotionResult = z.strictObject({ manifests: z.int(), changed: z.boolean() });

/** Copying an artifact by its digest, with all that belongs to it, where a policy may be asked first. */
export function promotionCommands(gate: PromotionGate, rule: PushRule): readonly CommandDefinition[] {
  return [
    defineCommand({
      type: "registry.promote",
      body: z.strictObject({
        from: name,
        repository: name,
        digest,
        tags: z
          .array(z.string().refine((tag) => isTag(tag) && !isEvidenceTag(tag), "not a tag of an artifact"))
          .max(REGISTRY_LIMITS.tagsPerPut),
        /** The decision the destination's policy came to; null where it demands none. */
        decision: z.string().nullable(),
        /** What refers to it and stays behind: it is not served to who promotes. */
        without: z.array(digest).max(REGISTRY_LIMITS.promotedManifests).default([]),
      }),
      decide: async (reader, { from, repository, digest: artifact, tags, decision, without }, context) => {
        const { actor, org } = context;
        const foreign = foreignRepository(org, repository);
        if (foreign !== undefined) return foreign;
        const source = { org: from.split("/")[0] ?? "", repository: from };
        for (const [action, target] of [
          ["registry.push", { org, repository }],
          ["registry.pull", source],
        ] as const) {
          const refusal = await authorize(reader, actor, action, target);
          if (refusal !== undefined) return { accepted: false, refusal };
        }
        // What stands against a push stands against this way in too.
        const ruled = await rule(reader, { org, repository, actor, tags, hasSubject: false, mayRun: true });
        if (ruled !== undefined) return { accepted: false, refusal: ruled };
        const place = await findRepository(reader, repository);
        if (place?.ended !== undefined) return nameHeld(place);
        if ((await findManifest(reader, from, artifact)) === undefined) {
          return refuse("manifest-unknown", `${from} has no manifest ${artifact}`, { status: 404 });
        }
        const settings = place?.settings ?? DEFAULT_SETTINGS;
        const policy = settings.promotionPolicy;
        if (policy !== null) {
          if (decision === null) return demanded(repository, policy);
          const denied = await gate(reader, { decision, org, repository, digest: artifact, policy });
          if (denied !== undefined) return { accepted: false, refusal: denied };
        }
        const company = await companyOf(reader, from, artifact);
        if (company.more) {
          return refuse(
            "promotion-too-large",
            `more than ${REGISTRY_LIMITS.promotedManifests} manifests belong to ${artifact}`,
            {
              status: 422,
              hint: "promote its parts, or delete referrers that nobody needs",
            },
          );
        }
        // What comes along was not asked about. Where a policy is demanded, that is evidence and notes, and nothing that is run for itself.
        const beside = policy === null ? [] : company.manifests.filter((one) => !company.parts.has(one));
        const left = new Set<string>([...without, ...(await runningAmong(reader, from, beside))]);
        const here = await findManifests(reader, repository, company.manifests);
        const manifests = company.manifests.filter((one) => !here.has(one) && !left.has(one));
        const set: { tag: string; digest: string; previous: string | null }[] = [];
        for (const tag of new Set(tags)) {
          const current = await resolveTag(reader, repository, tag);
          if (current?.digest === artifact) continue;
          const moved = await movedTag(reader, { repository, tag, digest: artifact }, settings);
          if (moved !== undefined) return { accepted: false, refusal: moved };
          set.push({ tag, digest: artifact, previous: current?.digest ?? null });
        }
        for (const { tag, digest: named } of company.evidenceTags) {
          if (left.has(named)) continue;
          // What the destination keeps under such a tag stays: both are in the index of evidence.
          if ((await resolveTag(reader, repository, tag)) !== undefined) continue;
          const refusal = await authorize(reader, actor, "evidence.write", { org, repository });
          if (refusal !== undefined) return { accepted: false, refusal };
          set.push({ tag, digest: named, previous: null });
        }
        const changed = manifests.length > 0 || set.length > 0;
        const result = { manifests: manifests.length, changed };
        if (!changed) return accept([], result);
        const room = await roomFor(reader, { org, repository }, () => contentOf(reader, from, manifests));
        if ("refusal" in room) return { accepted: false, refusal: room.refusal };
        const allowed = policy === null || decision === null ? null : { policy, decision };
        return accept(
          [
            {
              type: "registry.promoted",
              body: { from, repository, digest: artifact, manifests, tags: set, allowed },
            },
            ...room.events,
          ],
          result,
        );
      },
    }),
  ];
}

function demanded(repository: string, policy: string) {
  return refuse("promotion-undecided", `${repository} demands a decision by the policy ${policy}`, {
    hint: "it was demanded meanwhile: promote again",
  });
}

/** Where a policy is demanded, artifacts come by promotion and by no other way. */
export function promotionOnly(repository: string, policy: string): Refusal {
  return {
    code: "promotion-only",
    status: 403,
    message: `${repository} takes artifacts by promotion only, where the policy ${policy} allows them`,
    hint: `push elsewhere, then: assay promote SOURCE@DIGEST ${repository}`,
  };
}
