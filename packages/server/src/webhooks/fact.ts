import { matchesRepository } from "@assay/evidence";
import { z } from "zod";
import type { JsonObject, RecordedEvent } from "../record/command.ts";
import type { WebhookKind } from "./endpoint.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";

/** What a recorded event tells the outside: names and digests, never the bytes or words of evidence. */
export interface Fact {
  readonly kind: WebhookKind;
  /** What happened, after `dev.assay.`: `artifact.pushed`. */
  readonly type: string;
  /** The repository it happened in, `org/path`; null when it lies in none. */
  readonly repository: string | null;
  /** What it happened to, in one text. */
  readonly subject: string;
  readonly data: JsonObject;
}

/** Reads of an event's body what is told. Members it does not know are not told. */
function tell<S extends z.ZodType>(body: S, fact: (body: z.output<S>) => Fact): (body: JsonObject) => Fact {
  return (given) => fact(body.parse(given));
}

/** A list as far as it is told, and how much was left out. */
function listed(name: string, list: readonly string[]): JsonObject {
  const shown = list.slice(0, WEBHOOK_LIMITS.listed);
  return { [name]: shown, ...(shown.length < list.length ? { [`${name}Omitted`]: list.length - shown.length } : {}) };
}

/** Event types → what they tell. What is not here is told to nobody. */
const FACTS: ReadonlyMap<string, (body: JsonObject) => Fact> = new Map([
  [
    "registry.manifest-pushed",
    tell(
      z.object({
        repository: z.string(),
        digest: z.string(),
        size: z.int(),
        mediaType: z.string(),
        artifactType: z.string().optional(),
        subject: z.string().optional(),
      }),
      ({ repository, digest, size, mediaType, artifactType, subject }) => ({
        kind: "push",
        type: "artifact.pushed",
        repository,
        subject: `${repository}@${digest}`,
        data: {
          repository,
          digest,
          mediaType,
          size,
          ...(artifactType === undefined ? {} : { artifactType }),
          ...(subject === undefined ? {} : { subject }),
        },
      }),
    ),
  ],
  [
    "registry.manifest-deleted",
    tell(
      z.object({ repository: z.string(), digest: z.string(), tags: z.array(z.string()) }),
      ({ repository, digest, tags }) => ({
        kind: "delete",
        type: "artifact.deleted",
        repository,
        subject: `${repository}@${digest}`,
        data: { repository, digest, ...listed("tags", tags) },
      }),
    ),
  ],
  [
    "registry.tag-set",
    tell(
      z.object({ repository: z.string(), tag: z.string(), digest: z.string(), previous: z.string().nullable() }),
      ({ repository, tag, digest, previous }) => ({
        kind: "tag",
        type: previous === null ? "tag.set" : "tag.moved",
        repository,
        subject: `${repository}:${tag}`,
        data: { repository, tag, digest, previous },
      }),
    ),
  ],
  [
    "registry.tag-deleted",
    tell(z.object({ repository: z.string(), tag: z.string(), digest: z.string() }), ({ repository, tag, digest }) => ({
      kind: "delete",
      type: "tag.deleted",
      repository,
      subject: `${repository}:${tag}`,
      data: { repository, tag, digest },
    })),
  ],
  [
    "registry.tag-move-refused",
    tell(
      z.object({ repository: z.string(), tag: z.string(), names: z.string(), refused: z.string() }),
      ({ repository, tag, names, refused }) => ({
        kind: "tag",
        type: "tag.refused",
        repository,
        subject: `${repository}:${tag}`,
        data: { repository, tag, names, refused },
      }),
    ),
  ],
  [
    "registry.quota-neared",
    tell(z.object({ scope: z.string(), bytes: z.int(), used: z.int() }), ({ scope, bytes, used }) => ({
      kind: "quota",
      type: "quota.neared",
      repository: scope.includes("/") ? scope : null,
      subject: scope,
      data: { scope, bytes, used },
    })),
  ],
  [
    "registry.quota-exceeded",
    tell(
      z.object({ scope: z.string(), repository: z.string(), bytes: z.int(), used: z.int(), needed: z.int() }),
      ({ scope, repository, bytes, used, needed }) => ({
        kind: "quota",
        type: "quota.exceeded",
        repository,
        subject: scope,
        data: { scope, repository, bytes, used, needed },
      }),
    ),
  ],
  [
    "registry.repository-deleted",
    tell(z.object({ repository: z.string() }), ({ repository }) => ({
      kind: "delete",
      type: "repository.deleted",
      repository,
      subject: repository,
      data: { repository },
    })),
  ],
  [
    "registry.restored",
    tell(
      z.object({
        repository: z.string(),
        deletion: z.int(),
        kind: z.enum(["tag", "manifest", "repository"]),
        digest: z.string().nullable(),
        tags: z.array(z.string()),
      }),
      ({ repository, deletion, kind, digest, tags }) => ({
        kind: "push",
        type: `${kind === "manifest" ? "artifact" : kind}.restored`,
        repository,
        subject: digest === null ? repository : `${repository}@${digest}`,
        data: { repository, deletion, ...(digest === null ? {} : { digest }), ...listed("tags", tags) },
      }),
    ),
  ],
  [
    "registry.promoted",
    tell(
      z.object({
        from: z.string(),
        repository: z.string(),
        digest: z.string(),
        tags: z.array(z.object({ tag: z.string() })),
        allowed: z.object({ policy: z.string(), decision: z.string() }).nullable(),
      }),
      ({ from, repository, digest, tags, allowed }) => ({
        kind: "push",
        type: "artifact.promoted",
        repository,
        subject: `${repository}@${digest}`,
        data: {
          repository,
          digest,
          from,
          ...listed(
            "tags",
            tags.map(({ tag }) => tag),
          ),
          decision: allowed?.decision ?? null,
        },
      }),
    ),
  ],
  [
    "attestations.evidence-added",
    tell(
      z.object({
        evidence: z.string(),
        form: z.string(),
        predicateType: z.string().nullable(),
        subjects: z.array(z.string()),
        repository: z.string().nullable(),
      }),
      ({ evidence, form, predicateType, subjects, repository }) => ({
        kind: "evidence",
        type: "evidence.added",
        repository,
        subject: evidence,
        data: { evidence, form, predicateType, repository, ...listed("subjects", subjects) },
      }),
    ),
  ],
  [
    "attestations.evidence-linked",
    tell(
      z.object({
        evidence: z.string(),
        form: z.string(),
        repository: z.string().nullable(),
        subject: z.string().nullable(),
      }),
      ({ evidence, form, repository, subject }) => ({
        kind: "evidence",
        type: "evidence.linked",
        repository,
        subject: evidence,
        data: { evidence, form, repository, subjects: subject === null ? [] : [subject] },
      }),
    ),
  ],
  [
    "gate.decision-made",
    tell(
      z.object({
        id: z.string(),
        decision: z.object({
          result: z.string(),
          subject: z.string(),
          repository: z.string().optional(),
          policy: z.object({ digest: z.string() }),
        }),
        policy: z.object({ name: z.string(), version: z.int() }).nullable(),
      }),
      ({ id, decision, policy }) => ({
        kind: "decision",
        type: decision.result === "allowed" ? "decision.allowed" : "decision.denied",
        repository: decision.repository ?? null,
        subject: decision.subject,
        data: {
          decision: id,
          result: decision.result,
          digest: decision.subject,
          repository: decision.repository ?? null,
          policy: policy === null ? null : { name: policy.name, version: policy.version },
          policyDigest: decision.policy.digest,
        },
      }),
    ),
  ],
]);

/** Whether events of this type tell anything: what can be known without reading one. */
export function tells(type: string): boolean {
  return FACTS.has(type);
}

/** What an event tells; undefined when it tells nothing. */
export function factOf(event: Pick<RecordedEvent, "type" | "body">): Fact | undefined {
  return FACTS.get(event.type)?.(event.body);
}

/** Whether an endpoint with this filter is told a fact. One that is bound to repositories is not told what lies in none. */
export function isTold(
  filter: { readonly kinds: readonly WebhookKind[]; readonly repositories: readonly string[] | null },
  fact: Pick<Fact, "kind" | "repository">,
): boolean {
  if (!filter.kinds.includes(fact.kind)) return false;
  return filter.repositories === null || matchesRepository(filter.repositories, fact.repository ?? undefined);
}
