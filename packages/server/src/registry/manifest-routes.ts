import { type Digest, digestOf, isDigest } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { store } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import type { Command, NewEvent } from "../record/command.ts";
import { decidePutManifest, putManifestCommandBody } from "./commands.ts";
import type { PushedLayer, PushedManifest } from "./context.ts";
import { canonicalDigest, findAliases } from "./alias-queries.ts";
import { digestLike, isSha512, type NamedDigest, readDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import { manifestPushedBody } from "./events.ts";
import {
  alreadyHas,
  append,
  type Exchange,
  type Handler,
  location,
  type Services,
  storedBytesHeaders,
} from "./exchange.ts";
import { readBody } from "./incoming.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { type ManifestFacts, parseManifest } from "./manifest.ts";
import { findBlobs, findManifest, resolveTag, type StoredManifest } from "./queries.ts";
import { isTag } from "./tag-rules.ts";

/** What a manifest's path ends in. */
type Reference = { readonly tag: string } | { readonly digest: NamedDigest };

/** @throws OciError 400 for what is neither a tag nor a digest. */
function readReference(text: string): Reference {
  if (text.includes(":")) return { digest: readDigest(text) };
  if (isTag(text)) return { tag: text };
  throw new OciError(400, "MANIFEST_INVALID", `${JSON.stringify(text.slice(0, 200))} is neither a tag nor a digest`);
}

function manifestUnknown(exchange: Exchange<"manifest">): OciError {
  const reference = exchange.path.reference.slice(0, 200);
  return new OciError(404, "MANIFEST_UNKNOWN", `${exchange.repository} has no manifest ${reference}`, {
    detail: { reference },
  });
}

/**
 * What is asked for by the path. What is no reference at all names nothing that could be here: a client that looks for it is told so as
 * for anything else (OCI distribution 1.1, "Pulling manifests").
 *
 * @throws OciError 404; 400 for what begins as a digest and is none.
 */
function knownReference(exchange: Exchange<"manifest">): Reference {
  const text = exchange.path.reference;
  if (!text.includes(":") && !isTag(text)) throw manifestUnknown(exchange);
  return readReference(text);
}

/** A manifest that is here, and the digest the answer names it by: the one asked for or, by a tag, the one the tag was set by. */
type Found = StoredManifest & { readonly named: NamedDigest };

async function stored(services: Services, exchange: Exchange<"manifest">): Promise<Found> {
  const { reader, now } = services;
  const { repository } = exchange;
  const reference = knownReference(exchange);
  let digest: Digest | undefined;
  let named: NamedDigest | undefined;
  if ("digest" in reference) {
    named = reference.digest;
    digest = await canonicalDigest(reader, repository, named, now());
  } else {
    const tag = await resolveTag(reader, repository, reference.tag);
    digest = tag?.digest;
    named = isSha512(tag?.namedAs) ? tag.namedAs : digest;
  }
  const manifest = digest && (await findManifest(reader, repository, digest));
  if (manifest === undefined || named === undefined) throw manifestUnknown(exchange);
  return { ...manifest, named };
}

function manifestHeaders(manifest: Found): Record<string, string> {
  return { ...storedBytesHeaders(manifest.named), "content-type": manifest.mediaType };
}

/** HEAD /v2/<name>/manifests/<reference> (end-3). */
export const headManifest: Handler<"manifest"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const manifest = await stored(services, exchange);
    return await exchange.reply
      .headers({ ...manifestHeaders(manifest), "content-length": String(manifest.size) })
      .send();
  },
};

/** GET /v2/<name>/manifests/<reference> (end-3): the bytes as they were pushed, under the type they were pushed as. */
export const getManifest: Handler<"manifest"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { request, reply, actor, org, repository } = exchange;
    const manifest = await stored(services, exchange);
    reply.headers(manifestHeaders(manifest));
    if (alreadyHas(request, manifest.named)) return await reply.code(304).send();
    const bytes = await services.blobs.readSmall(manifest.digest, REGISTRY_LIMITS.manifestBytes);
    if (services.pulls.count({ org, repository, digest: manifest.digest, actor: actor.id, time: services.now() })) {
      services.pulls.flush().catch((error: unknown) => request.log.error({ err: error }, "pulls could not be counted"));
    }
    return await reply.send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  },
};

/** The tags a PUT sets: the one in its path, and those of `?tag=` (end-7b). */
function readTags(reference: Reference, query: URLSearchParams): string[] {
  const extra = query.getAll("tag");
  if (extra.length > REGISTRY_LIMITS.tagsPerPut - 1) {
    throw new OciError(414, "UNSUPPORTED", `one push sets at most ${REGISTRY_LIMITS.tagsPerPut - 1} tags`);
  }
  for (const tag of extra) {
    if (!isTag(tag)) throw new OciError(400, "MANIFEST_INVALID", `${JSON.stringify(tag.slice(0, 200))} is not a tag`);
  }
  return [...new Set([...("tag" in reference ? [reference.tag] : []), ...extra])];
}

/** Those of some layers that are in the repository: where manifests may lack some, naming bytes says nothing about having them. */
async function heldOf(
  services: Services,
  repository: string,
  layers: readonly PushedLayer[],
): Promise<readonly PushedLayer[]> {
  const names = layers.map((layer) => layer.digest);
  const held = await findBlobs(services.reader, repository, [...new Set(names)], services.now());
  return layers.filter((layer) => held.has(layer.digest));
}

/** What a manifest that is new here needs and its repository does not have, as the push's decision found it. */
function lacking(
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

/** A warning that clients show (OCI distribution 1.1, "Warnings": at most 4096 bytes). */
function warning(missing: NamedDigest, others: number): string {
  const all = others === 0 ? missing : `${missing} and ${others} more`;
  return `299 - "this repository does not have ${all}, which the manifest names: nobody can pull the whole until then"`;
}

/** What the SHA-512 digests in a manifest stand for in its repository, as far as they stand for anything. */
async function aliasesOf(
  services: Services,
  repository: string,
  facts: ManifestFacts,
): Promise<ReadonlyMap<string, Digest>> {
  const names = [facts.subject?.digest, ...facts.references.map((reference) => reference.digest)].filter(isSha512);
  const found = await findAliases(services.reader, repository, [...new Set(names)], services.now());
  return new Map([...found].map(([alias, { digest }]) => [alias, digest]));
}

/** PUT /v2/<name>/manifests/<reference> (end-7). */
export const putManifest: Handler<"manifest"> = {
  action: "registry.push",
  async run(services, exchange) {
    const { request, reply, actor, org, repository, query } = exchange;
    const reference = readReference(exchange.path.reference);
    const tags = readTags(reference, query);
    const bytes = await readBody(request.raw, REGISTRY_LIMITS.manifestBytes);
    const digest = digestOf(nodeCrypto, bytes);
    const named = "digest" in reference ? digestLike(reference.digest, bytes) : digest;
    if ("digest" in reference && reference.digest !== named) {
      throw new OciError(400, "DIGEST_INVALID", `these bytes have the digest ${named}, not ${reference.digest}`);
    }
    const facts = parseManifest(bytes, request.headers["content-type"]);
    const aliases = await aliasesOf(services, repository, facts);
    const canonical = (of: NamedDigest): Digest | undefined => (isDigest(of) ? of : aliases.get(of));
    const subject = facts.subject && canonical(facts.subject.digest);
    const layers = facts.references.flatMap(({ kind, mayBeMissing, size, mediaType, digest: of }) => {
      const layer = kind === "layer" && !mayBeMissing ? canonical(of) : undefined;
      return layer === undefined ? [] : [{ digest: layer, size, mediaType }];
    });
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
      layers: services.sparseManifests === true ? await heldOf(services, repository, layers) : layers,
      aliases,
      tags: facts.subject !== undefined && subject === undefined ? [] : tags,
      bytes,
    };
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
        mayBeMissing: reference.mayBeMissing || services.sparseManifests === true,
      })),
      tags,
    });
    // Asked early so that nothing is stored for what will be refused. The answer that counts is given again inside the transaction.
    const early = await decidePutManifest(services.reader, parsed, { actor, org, time: services.now() });
    if (!early.accepted) throw Problem.fromRefusal(early.refusal);
    const put: Command = { type: "registry.put-manifest", org, actor, body: json };
    // What the companions were told is held here is asked for again beside the push: what names it must find it.
    const told = [...new Set(push.layers.map((layer) => layer.digest))];
    const held: Command = { type: "registry.require-held", org, actor, body: { repository, digests: told } };
    await append(services, exchange, async () => [
      put,
      // The bytes are durable before the row that names them.
      await store(services, exchange, bytes),
      ...(await services.companions(push)),
      ...(services.sparseManifests === true && told.length > 0 ? [held] : []),
    ]);
    reply.code(201).headers({
      location: location(services, exchange, `manifests/${named}`),
      "docker-content-digest": named,
    });
    // Tells the client that referrers are listed here, so that it keeps no fallback tag.
    if (facts.subject !== undefined) reply.header("oci-subject", facts.subject.digest);
    const [missing, ...others] = services.sparseManifests === true ? lacking(early.events, facts, canonical) : [];
    if (missing !== undefined) reply.header("warning", warning(missing, others.length));
    if (query.has("tag")) reply.header("oci-tag", tags.join(", "));
    return await reply.send();
  },
};

/** DELETE /v2/<name>/manifests/<reference> (end-9): by tag the tag only, by digest the manifest and every tag on it. */
export const deleteManifest: Handler<"manifest"> = {
  action: "registry.delete",
  async run(services, exchange) {
    const { actor, org, repository, reply } = exchange;
    const reference = knownReference(exchange);
    const digest =
      "digest" in reference
        ? await canonicalDigest(services.reader, repository, reference.digest, services.now())
        : undefined;
    if ("digest" in reference && digest === undefined) throw manifestUnknown(exchange);
    const command: Command =
      "digest" in reference
        ? { type: "registry.delete-manifest", org, actor, body: { repository, digest: digest ?? reference.digest } }
        : { type: "registry.delete-tag", org, actor, body: { repository, tag: reference.tag } };
    await append(services, exchange, [command]);
    return await reply.code(202).send();
  },
};
