import type { Command } from "../record/command.ts";
import { restOfTurn } from "../http/rest-of-turn.ts";
import { note } from "../signals/about.ts";
import { acceptManifest } from "./accept-manifest.ts";
import { canonicalDigest } from "./alias-queries.ts";
import { isSha512, type NamedDigest, readDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import {
  alreadyHas,
  append,
  cachingOf,
  type Exchange,
  type Handler,
  location,
  type Services,
  storedBytesHeaders,
} from "./exchange.ts";
import { readBody } from "./incoming.ts";
import { REGISTRY_LIMITS } from "./limits.ts";
import { requireServed } from "./pull-gate.ts";
import { findManifest, findTagged, type StoredManifest } from "./queries.ts";
import { noteRefusedMove } from "./refused-moves.ts";
import type { Reader } from "../storage/database.ts";
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

async function lookFor(
  { now }: Services,
  reader: Reader,
  repository: string,
  reference: Reference,
): Promise<Found | undefined> {
  if ("tag" in reference) {
    const found = await findTagged(reader, repository, reference.tag);
    return found && { ...found, named: isSha512(found.namedAs) ? found.namedAs : found.digest };
  }
  const digest = await canonicalDigest(reader, repository, reference.digest, now());
  const manifest = digest && (await findManifest(reader, repository, digest));
  return manifest && { ...manifest, named: reference.digest };
}

/** A text as it may stand in a header: it may tell what another registry said, and that may be anything. */
function quoted(text: string): string {
  return JSON.stringify(text.replaceAll(/[^\x20-\x7e]/g, "?"));
}

/**
 * What is asked for, from wherever the repository gets what it does not have, when whoever asks may have it.
 *
 * @throws OciError 404; Problem with the gate's refusal.
 */
async function served(services: Services, exchange: Exchange<"manifest">): Promise<Found> {
  const { org, repository, actor, reply, settledAtStart } = exchange;
  const reference = knownReference(exchange);
  let found = await lookFor(services, settledAtStart, repository, reference);
  const brought = await services.through?.manifest({ org, repository }, reference, found?.digest);
  if (brought?.changed === true) found = await lookFor(services, services.reader, repository, reference);
  if (found === undefined) throw manifestUnknown(exchange);
  note(exchange.request, { digest: found.digest, manifest: true });
  if (brought?.warning !== undefined) reply.header("warning", `299 - ${quoted(brought.warning)}`);
  // INVARIANT: by a tag or a digest, it is this digest that is judged, and this digest's bytes that are told of and sent. Where another registry
  // was asked, the record may have gone on meanwhile.
  const settled = brought === undefined ? settledAtStart : undefined;
  await requireServed(services.gate, "manifest", { org, repository, actor, settled }, found.digest);
  return found;
}

function manifestHeaders(manifest: Found, caching: string): Record<string, string> {
  return { ...storedBytesHeaders(manifest.named, caching), "content-type": manifest.mediaType };
}

/** HEAD /v2/<name>/manifests/<reference> (end-3). */
export const headManifest: Handler<"manifest"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { request, reply } = exchange;
    const manifest = await served(services, exchange);
    reply.headers(manifestHeaders(manifest, await cachingOf(services, exchange)));
    await restOfTurn();
    if (alreadyHas(request, manifest.named)) return await reply.code(304).send();
    return await reply.header("content-length", String(manifest.size)).send();
  },
};

/** GET /v2/<name>/manifests/<reference> (end-3): the bytes as they were pushed, under the type they were pushed as. */
export const getManifest: Handler<"manifest"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { request, reply, actor, org, repository } = exchange;
    const manifest = await served(services, exchange);
    reply.headers(manifestHeaders(manifest, await cachingOf(services, exchange)));
    // Also where the client has it: what is asked for and used every day is not what nobody pulls.
    if (services.pulls.count({ org, repository, digest: manifest.digest, actor: actor.id, time: services.now() })) {
      services.pulls.flush().catch((error: unknown) => request.log.error({ err: error }, "pulls could not be counted"));
    }
    if (alreadyHas(request, manifest.named)) return await reply.code(304).send();
    const bytes = await services.manifests.read(manifest.digest);
    await restOfTurn();
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

/** A warning that clients show (OCI distribution 1.1, "Warnings": at most 4096 bytes). */
function warning(missing: NamedDigest, others: number): string {
  const all = others === 0 ? missing : `${missing} and ${others} more`;
  return `299 - "this repository does not have ${all}, which the manifest names: nobody can pull the whole until then"`;
}

/** PUT /v2/<name>/manifests/<reference> (end-7). */
export const putManifest: Handler<"manifest"> = {
  action: "registry.push",
  async run(services, exchange) {
    const { request, reply, actor, org, repository, query } = exchange;
    const reference = readReference(exchange.path.reference);
    const tags = readTags(reference, query);
    const bytes = await readBody(request.raw, REGISTRY_LIMITS.manifestBytes);
    const { digest, named, facts, lacking, sequence } = await acceptManifest(services, {
      org,
      repository,
      actor,
      bytes,
      expected: "digest" in reference ? reference.digest : undefined,
      contentType: request.headers["content-type"],
      tags,
      sparse: services.sparseManifests === true,
      refused: (refusal) => noteRefusedMove(services.record, { org, actor, repository, log: request.log }, refusal),
    });
    note(request, { digest, manifest: true });
    if (sequence !== undefined) reply.header("assay-sequence", String(sequence));
    reply.code(201).headers({
      location: location(services, exchange, `manifests/${named}`),
      "docker-content-digest": named,
    });
    // Tells the client that referrers are listed here, so that it keeps no fallback tag.
    if (facts.subject !== undefined) reply.header("oci-subject", facts.subject.digest);
    const [missing, ...others] = lacking;
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
