import { type JsonObject, parseDigest } from "@assay/evidence";
import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type DecideContext,
  type Decided,
  defineCommand,
  type NewEvent,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { type Alias, findAliases } from "./alias-queries.ts";
import { isNamedDigest, isSha512, type NamedDigest } from "./digest.ts";
import { manifestPushed } from "./events.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { promotionOnly } from "./promotion-commands.ts";
import type { PushRule } from "./push-rule.ts";
import { roomFor } from "./quota-rule.ts";
import { findBlob, findBlobs, findManifest, findManifests, isAwaited, resolveTag } from "./queries.ts";
import { foreignRepository, movedTag, nameHeld } from "./repository-commands.ts";
import { findRepository } from "./repository-queries.ts";
import { DEFAULT_SETTINGS, type RepositorySettings } from "./repository-settings.ts";
import { mayRun } from "./runnable.ts";
import { isEvidenceTag, isTag } from "./tag-rules.ts";

const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/)
  .transform((text) => parseDigest(text));
const named = z.custom<NamedDigest>(isNamedDigest, "not a digest");
const size = z.int().nonnegative();
const tag = z.string().refine(isTag, "not a tag");

const putManifestBody = z.strictObject({
  repository: z.string(),
  digest,
  /** The digest it is pushed by, where that is of another algorithm: the route computed it from the bytes. */
  namedAs: z.string().refine(isSha512, "not a sha512 digest").optional(),
  size: size.max(REGISTRY_LIMITS.manifestBytes),
  mediaType: z.string(),
  artifactType: z.string().optional(),
  subject: named.optional(),
  annotations: z.record(z.string(), z.string()).optional(),
  references: z
    .array(
      z.strictObject({
        kind: z.enum(["config", "layer", "child"]),
        digest: named,
        size,
        mediaType: z.string(),
        mayBeMissing: z.boolean(),
      }),
    )
    .max(2 * REGISTRY_LIMITS.manifestReferences),
  tags: z.array(tag).max(REGISTRY_LIMITS.tagsPerPut),
});

type PutManifest = z.output<typeof putManifestBody>;

/** A reference as the event keeps it. */
interface Held {
  readonly kind: "config" | "layer" | "child" | "blob";
  readonly digest: NamedDigest;
  readonly size: number;
  readonly mediaType: string;
  readonly held: boolean;
}

/** What the SHA-512 digests in a push stand for: all of this is by the one name of each from here on. */
type Aliases = ReadonlyMap<string, Alias>;

async function aliasesIn(reader: Reader, body: PutManifest, now: number): Promise<Aliases> {
  const names = [body.namedAs, body.subject, ...body.references.map((reference) => reference.digest)];
  return await findAliases(reader, body.repository, [...new Set(names.filter(isSha512))], now);
}

/**
 * The event that puts on record what else the digests in this push are called; undefined when it is known. Each was computed by this server
 * from the bytes: by the upload that leased them, or by the push itself.
 */
function aliased(body: PutManifest, aliases: Aliases): NewEvent | undefined {
  const fresh = [...aliases].flatMap(([alias, { digest: known, recorded }]) =>
    recorded || alias === body.namedAs ? [] : [{ alias, digest: known }],
  );
  if (body.namedAs !== undefined && aliases.get(body.namedAs)?.recorded !== true) {
    fresh.push({ alias: body.namedAs, digest: body.digest });
  }
  if (fresh.length === 0) return undefined;
  return { type: "registry.digests-aliased", body: { repository: body.repository, aliases: fresh } };
}

/**
 * Whether everything a manifest names is in the repository, by lease or reference. It is asked inside the appending transaction, so
 * nothing it rests on can go away before the manifest is there.
 */
async function holdReferences(
  reader: Reader,
  body: PutManifest,
  aliases: Aliases,
  now: number,
): Promise<{ readonly references: Held[] } | { readonly refusal: Decided }> {
  const wanted = body.references.map((reference) => ({
    ...reference,
    digest: aliases.get(reference.digest)?.digest ?? reference.digest,
  }));
  const digests = [...new Set(wanted.map((reference) => reference.digest))];
  const blobs = await findBlobs(reader, body.repository, digests, now);
  const children = wanted.filter((reference) => reference.kind === "child").map((child) => child.digest);
  const manifests = await findManifests(reader, body.repository, children);
  const references = new Map<string, Held>();
  const missing: string[] = [];
  for (const { kind, digest: named, size: bytes, mediaType, mayBeMissing } of wanted) {
    const manifest = kind === "child" ? manifests.get(named) : undefined;
    const found = manifest ?? blobs.get(named);
    if (found === undefined) {
      if (!mayBeMissing) missing.push(named);
      else references.set(`${kind} ${named}`, { kind, digest: named, size: bytes, mediaType, held: false });
      continue;
    }
    if (found !== bytes) {
      const message = `the manifest says ${named} has ${bytes} bytes, but it has ${found}`;
      return { refusal: refuse("manifest-invalid", message, { status: 400 }) };
    }
    // An index may list what is no manifest: it is then kept as a blob.
    const kept = kind === "child" && manifest === undefined ? "blob" : kind;
    // The same bytes under the digests of two algorithms are one thing.
    references.set(`${kept} ${named}`, { kind: kept, digest: named, size: bytes, mediaType, held: true });
  }
  if (missing.length === 0) return { references: [...references.values()] };
  const [first] = missing;
  const others = missing.length === 1 ? "" : ` and ${missing.length - 1} more`;
  return {
    refusal: refuse(
      "manifest-blob-unknown",
      `the manifest names ${first}${others}, which this repository does not have`,
      {
        status: 404,
        hint: "push or mount what a manifest names before the manifest",
        detail: { digests: missing.slice(0, 20) },
      },
    ),
  };
}

/**
 * Rule 9 of ARCHITECTURE.md for one tag: the event that sets it, nothing when it names this digest already, or the refusal. Of two
 * pushes that race for a tag that never moves one is decided after the other has been projected, so only one can win.
 */
async function setTag(
  reader: Reader,
  body: PutManifest,
  name: string,
  settings: RepositorySettings,
  context: Pick<DecideContext, "actor" | "org">,
): Promise<NewEvent | undefined | Decided> {
  const current = await resolveTag(reader, body.repository, name);
  if (current?.digest === body.digest) return undefined;
  const { promotionPolicy } = settings;
  if (promotionPolicy !== null && !isEvidenceTag(name)) {
    return { accepted: false, refusal: promotionOnly(body.repository, promotionPolicy) };
  }
  const moved = await movedTag(reader, { ...body, tag: name }, settings);
  if (moved !== undefined) return { accepted: false, refusal: moved };
  if (isEvidenceTag(name)) {
    const refusal = await authorize(reader, context.actor, "evidence.write", {
      org: context.org,
      repository: body.repository,
    });
    if (refusal !== undefined) return { accepted: false, refusal };
  }
  return {
    type: "registry.tag-set",
    body: {
      repository: body.repository,
      tag: name,
      digest: body.digest,
      previous: current?.digest ?? null,
      ...(body.namedAs === undefined ? {} : { namedAs: body.namedAs }),
    },
  };
}

/** Decides a push of a manifest. Pure over the tables: a route may ask it early, the writer's answer is the one that counts. */
export async function decidePutManifest(
  reader: Reader,
  body: PutManifest,
  context: Pick<DecideContext, "actor" | "org" | "time">,
  rule: PushRule,
): Promise<Decided> {
  const { repository } = body;
  const { org, actor } = context;
  const foreign = foreignRepository(org, repository);
  if (foreign !== undefined) return foreign;
  const runs = mayRun(body.references);
  const push = { org, repository, actor, tags: body.tags, hasSubject: body.subject !== undefined, mayRun: runs };
  const refusal = (await authorize(reader, actor, "registry.push", { org, repository })) ?? (await rule(reader, push));
  if (refusal !== undefined) return { accepted: false, refusal };

  const events: NewEvent[] = [];
  const place = await findRepository(reader, repository);
  if (place?.ended !== undefined) return nameHeld(place);
  const known = await findManifest(reader, repository, body.digest);
  const aliases = await aliasesIn(reader, body, context.time);
  const other = body.namedAs === undefined ? undefined : aliases.get(body.namedAs)?.digest;
  if (other !== undefined && other !== body.digest) {
    const message = `${body.namedAs} is the name of ${other} in ${repository}, and not of ${body.digest}`;
    return refuse("manifest-invalid", message, { status: 400 });
  }
  const policy = place?.settings.promotionPolicy ?? null;
  if (known === undefined && policy !== null) {
    // Evidence comes as before: it says what it is about, or is kept under a tag that does. No other tag will ever name it.
    // An image that says it is about another one is an image all the same: whoever pulls it by its digest runs it.
    const isAbout = body.subject !== undefined || (body.tags.length > 0 && body.tags.every(isEvidenceTag));
    if (!isAbout || runs) return { accepted: false, refusal: promotionOnly(repository, policy) };
  }
  if (known === undefined) {
    const held = await holdReferences(reader, body, aliases, context.time);
    if ("refusal" in held) return held.refusal;
    const { references } = held;
    const room = await roomFor(
      reader,
      { org, repository },
      async () => new Map([[body.digest, body.size], ...references.flatMap((one) => (one.held ? [sizeOf(one)] : []))]),
    );
    if ("refusal" in room) return { accepted: false, refusal: room.refusal };
    events.push(
      {
        type: "registry.manifest-pushed",
        body: manifestPushed({ ...eventFacts(body, aliases), references }),
      },
      ...room.events,
    );
  } else if (known.mediaType !== body.mediaType) {
    const message = `${body.digest} is in ${repository} as ${known.mediaType}: the same bytes cannot be ${body.mediaType} too`;
    return refuse("manifest-invalid", message, { status: 400 });
  }
  const names = aliased(body, aliases);
  if (names !== undefined) events.push(names);
  const called = [body.digest, body.namedAs ?? body.digest] as const;
  if (known === undefined && (await isAwaited(reader, repository, called, body.size))) {
    events.push(referenceHeld(body, "manifest"));
  }
  let sequence = known?.sequence ?? null;
  for (const name of new Set(body.tags)) {
    const set = await setTag(reader, body, name, place?.settings ?? DEFAULT_SETTINGS, context);
    if (set === undefined) {
      const current = await resolveTag(reader, repository, name);
      sequence = Math.max(sequence ?? 0, current?.sequence ?? 0);
    } else if ("accepted" in set) {
      return set;
    } else {
      events.push(set);
    }
  }
  // Without events the result names the sequence by which everything asked for is so already.
  return accept(events, { sequence: events.length === 0 ? sequence : null });
}

const sizeOf = ({ digest: of, size: bytes }: Held): readonly [string, number] => [of, bytes];

function eventFacts(body: PutManifest, aliases: Aliases): Omit<Parameters<typeof manifestPushed>[0], "references"> {
  return {
    repository: body.repository,
    digest: body.digest,
    size: body.size,
    mediaType: body.mediaType,
    artifactType: body.artifactType,
    subject: body.subject && (aliases.get(body.subject)?.digest ?? body.subject),
    annotations: body.annotations,
  };
}

/** The event that what manifests named, and the repository did not have, is here. */
function referenceHeld(
  { repository, digest: held, namedAs, size: bytes }: Pick<PutManifest, "repository" | "digest" | "namedAs" | "size">,
  as: "manifest" | "blob",
): NewEvent {
  return {
    type: "registry.reference-held",
    body: { repository, digest: held, ...(namedAs === undefined ? {} : { alias: namedAs }), size: bytes, as },
  };
}

const holdReferenceBody = z.strictObject({ repository: z.string(), digest: named });

/** The body of a `registry.put-manifest` command. */
export function putManifestCommandBody(body: z.input<typeof putManifestBody>): {
  json: JsonObject;
  parsed: PutManifest;
} {
  const json: JsonObject = {
    repository: body.repository,
    digest: body.digest,
    ...(body.namedAs === undefined ? {} : { namedAs: body.namedAs }),
    size: body.size,
    mediaType: body.mediaType,
    ...(body.artifactType === undefined ? {} : { artifactType: body.artifactType }),
    ...(body.subject === undefined ? {} : { subject: body.subject }),
    ...(body.annotations === undefined ? {} : { annotations: { ...body.annotations } }),
    references: body.references.map((reference) => ({ ...reference })),
    tags: [...body.tags],
  };
  return { json, parsed: putManifestBody.parse(json) };
}

export const registryCommands = (rule: PushRule): readonly CommandDefinition[] => [
  defineCommand({
    type: "registry.put-manifest",
    body: putManifestBody,
    decide: (reader, body, context) => decidePutManifest(reader, body, context, rule),
  }),
  // Beside a push of which others were told what the repository holds: they name it, so it must be held when that is recorded.
  defineCommand({
    type: "registry.require-held",
    body: z.strictObject({
      repository: z.string(),
      digests: z.array(digest).max(2 * REGISTRY_LIMITS.manifestReferences),
    }),
    decide: async (reader, body, { time }) => {
      const held = await findBlobs(reader, body.repository, body.digests, time);
      const missing = body.digests.find((one) => !held.has(one));
      if (missing === undefined) return accept([]);
      return refuse("blob-collected", `${missing} went from ${body.repository} while the manifest was pushed`, {
        status: 503,
        hint: "send the same request again",
      });
    },
  }),
  // After a blob came that a manifest was waiting for: from here on the manifest holds it, and no lease need.
  defineCommand({
    type: "registry.hold-reference",
    body: holdReferenceBody,
    decide: async (reader, { repository, digest: asked }, context) => {
      const foreign = foreignRepository(context.org, repository);
      if (foreign !== undefined) return foreign;
      const refusal = await authorize(reader, context.actor, "registry.push", { org: context.org, repository });
      if (refusal !== undefined) return { accepted: false, refusal };
      const alias = isSha512(asked)
        ? (await findAliases(reader, repository, [asked], context.time)).get(asked)
        : undefined;
      const held = isSha512(asked) ? alias?.digest : asked;
      const blob = held && (await findBlob(reader, repository, held, context.time));
      if (held === undefined || blob === undefined) return accept([]);
      const body = { repository, digest: held, size: blob.size, namedAs: isSha512(asked) ? asked : undefined };
      if (!(await isAwaited(reader, repository, [held, asked], blob.size))) return accept([]);
      const names = alias?.recorded === false ? [{ alias: asked, digest: held }] : [];
      return accept([
        ...(names.length === 0 ? [] : [{ type: "registry.digests-aliased", body: { repository, aliases: names } }]),
        referenceHeld(body, "blob"),
      ]);
    },
  }),
];
