import { type Digest, digestOf, isDigest } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { appendNaming, store } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import type { Actor, Command, JsonObject, NewEvent, Refusal } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { findAliases } from "./alias-queries.ts";
import { decidePutManifest, putManifestCommandBody } from "./commands.ts";
import type { PushedLayer, PushedManifest, RegistryContext } from "./context.ts";
import { digestLike, isSha512, type NamedDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { manifestPushedBody } from "./events.ts";
import { type ManifestFacts, parseManifest } from "./manifest.ts";
import { findBlobs } from "./queries.ts";

/** A manifest that is to be taken up, by whoever brought it. */
export interface ManifestOffer {
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  readonly actor: Actor;
  readonly bytes: Uint8Array;
  /** The digest it was asked to have; undefined when it was named by tag. */
  readonly expected: NamedDigest | undefined;
  readonly contentType: string | undefined;
  readonly tags: readonly string[];
  /** Whether it may name what the repository does not have. */
  readonly sparse: boolean;
  /** Told of the record's refusal before it is thrown. */
  readonly refused?: (refusal: Refusal) => Promise<void>;
}

/** What came of it. */
export interface AcceptedManifest {
  readonly digest: Digest;
  /** The digest answers name it by. */
  readonly named: NamedDigest;
  readonly facts: ManifestFacts;
  /** What it names and the repository does not have, where it may. */
  readonly lacking: readonly NamedDigest[];
  /** The record's sequence as of which it is so. */
  readonly sequence: number | undefined;
}

/** Those of some layers that are in the repository: where manifests may lack some, naming bytes says nothing about having them. */
async function heldOf(
  reader: Reader,
  repository: string,
  layers: readonly PushedLayer[],
  now: number,
): Promise<readonly PushedLayer[]> {
  const names = layers.map((layer) => layer.digest);
  const held = await findBlobs(reader, repository, [...new Set(names)], now);
  return layers.filter((layer) => held.has(layer.digest));
}

/** What a manifest that is new here needs and its repository does not have, as the push's decision found it. */
function lackingIn(
  decided: readonly NewEvent[],
  facts: ManifestFacts,
  canonical: (of: NamedDigest) => Digest | undefined,
): NamedDigest[] {
  const pushed = decided.find(({ type }) => type === "registry.manifest-pushed");
  if (pushed === undefined) return [];
  const { references } = manifestPushedBody.parse(pushed.body);
  const missing = new Set(references.flatMap((reference) => (reference.held ? [] : [reference.digest])));
  return facts.references.flatMap(({ digest, mayBeMissing }) =>
    !mayBeMissing && missing.has(canonical(digest) ?? digest) ? [digest] : [],
  );
}

/** What the SHA-512 digests in a manifest stand for in its repository, as far as they stand for anything. */
async function aliasesOf(
  reader: Reader,
  repository: string,
  facts: ManifestFacts,
  now: number,
): Promise<ReadonlyMap<string, Digest>> {
  const names = [facts.subject?.digest, ...facts.references.map((reference) => reference.digest)].filter(isSha512);
  const found = await findAliases(reader, repository, [...new Set(names)], now);
  return new Map([...found].map(([alias, { digest }]) => [alias, digest]));
}

/**
 * Takes a manifest up: THE procedure, whoever brings it. Its bytes are durable before the record names them; what it carries as evidence is
 * appended with it, all or none.
 *
 * @throws OciError 400 for bytes of another digest or no manifest; Problem when the record refuses.
 */
export async function acceptManifest(
  services: Pick<RegistryContext, "reader" | "record" | "blobs" | "companions" | "pushRule"> & { now(): number },
  offer: ManifestOffer,
): Promise<AcceptedManifest> {
  const { reader, record, blobs } = services;
  const { org, repository, actor, bytes, expected, sparse } = offer;
  const tags = [...offer.tags];
  const now = services.now();
  const refuse = async (refusal: Refusal): Promise<never> => {
    await offer.refused?.(refusal);
    throw Problem.fromRefusal(refusal);
  };
  const digest = digestOf(nodeCrypto, bytes);
  const named = expected === undefined ? digest : digestLike(expected, bytes);
  if (expected !== undefined && expected !== named) {
    throw new OciError(400, "DIGEST_INVALID", `these bytes have the digest ${named}, not ${expected}`);
  }
  const facts = parseManifest(bytes, offer.contentType);
  const aliases = await aliasesOf(reader, repository, facts, now);
  const canonical = (of: NamedDigest): Digest | undefined => (isDigest(of) ? of : aliases.get(of));
  const subject = facts.subject && canonical(facts.subject.digest);
  const layers = facts.references.flatMap(({ kind, mayBeMissing, size, mediaType, digest: of }) => {
    const layer = kind === "layer" && !mayBeMissing ? canonical(of) : undefined;
    return layer === undefined ? [] : [{ digest: layer, size, mediaType }];
  });
  const { json, parsed } = putManifestCommandBody({
    repository,
    digest,
    namedAs: isSha512(named) ? named : undefined,
    size: bytes.length,
    mediaType: facts.mediaType,
    artifactType: facts.artifactType,
    subject: facts.subject?.digest,
    annotations: facts.annotations === undefined ? undefined : { ...facts.annotations },
    references: facts.references.map((reference) => ({
      ...reference,
      mayBeMissing: reference.mayBeMissing || sparse,
    })),
    tags,
  });
  // Asked early so that nothing is stored for what will be refused. The answer that counts is given again inside the transaction.
  const early = await decidePutManifest(reader, parsed, { actor, org, time: now }, services.pushRule);
  if (!early.accepted) return await refuse(early.refusal);
  // One that is here already may lack what it names, as one that a mirror brought does: only of a new one the record asks for all of it.
  const isNew = early.events.some(({ type }) => type === "registry.manifest-pushed");
  const push: PushedManifest = {
    org,
    repository,
    actor,
    digest,
    size: bytes.length,
    mediaType: facts.mediaType,
    subject,
    artifactType: facts.artifactType,
    annotations: facts.annotations,
    layers: sparse || !isNew ? await heldOf(reader, repository, layers, now) : layers,
    aliases,
    tags: facts.subject !== undefined && subject === undefined ? [] : tags,
    bytes,
  };
  const put: Command = { type: "registry.put-manifest", org, actor, body: json };
  // What the companions were told is held here is asked for again beside the push: what names it must find it.
  const told = [...new Set(push.layers.map((layer) => layer.digest))];
  const held: Command = { type: "registry.require-held", org, actor, body: { repository, digests: told } };
  const appended = await appendNaming(record, async () => {
    const companions = await services.companions(push);
    return [
      put,
      // The bytes are durable before the row that names them.
      await store({ reader, blobs }, { org, actor }, bytes),
      ...companions,
      ...(companions.length > 0 && told.length > 0 ? [held] : []),
    ];
  });
  if (!appended.ok) return await refuse(appended.refusal);
  const result = (appended.results[0] ?? {}) as JsonObject;
  const sequence = appended.receipts.at(-1)?.sequence ?? result["sequence"];
  return {
    digest,
    named,
    facts,
    lacking: sparse ? lackingIn(early.events, facts, canonical) : [],
    sequence: typeof sequence === "number" ? sequence : undefined,
  };
}
