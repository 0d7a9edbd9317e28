import { type Digest, digestOf, isDigest, isJsonArray, isJsonObject, type JsonValue, parseJson } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import type { StreamedAnswer } from "../egress/guarded-stream.ts";
import { digestLike, isNamedDigest, type NamedDigest } from "../registry/digest.ts";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../registry/manifest.ts";
import { isTag } from "../registry/tag-rules.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import { type Asking, unexpectedAnswer, upstreamFailed } from "./remote.ts";

/** A manifest as another registry has it. Its digest was computed here. */
export interface RemoteManifest {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string | undefined;
}

const ACCEPT = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");

function referenceOf(reference: string | NamedDigest): string {
  return `manifests/${reference}`;
}

/** The body of a small answer. @throws ServerError `upstream-failed` beyond `limit` bytes; `egress-failed`. */
async function readSmall(answer: StreamedAnswer, limit: number): Promise<Uint8Array> {
  const tooLarge = () => upstreamFailed(answer.shown, `answers with more than ${limit} bytes`);
  const stated = Number(answer.headers["content-length"] ?? 0);
  if (stated > limit) {
    answer.discard();
    throw tooLarge();
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body()) {
    size += chunk.length;
    // Leaving the loop closes the connection.
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * What a tag names, as the registry says: a hint that nothing has changed, and no more.
 *
 * @returns undefined when there is none; `unsaid` when the registry does not say.
 */
export async function remoteDigest(remote: Asking, reference: string): Promise<NamedDigest | "unsaid" | undefined> {
  const answer = await remote.ask({
    method: "HEAD",
    path: referenceOf(reference),
    headers: { accept: ACCEPT },
    totalMs: MIRROR_LIMITS.smallMs,
  });
  answer.discard();
  if (answer.status === 404) return undefined;
  // Some registries know no HEAD of manifests.
  if (answer.status === 405) return "unsaid";
  if (answer.status !== 200) throw unexpectedAnswer(answer);
  const said = answer.headers["docker-content-digest"];
  return isNamedDigest(said) ? said : "unsaid";
}

/**
 * A manifest by tag or digest.
 *
 * @returns undefined when the registry has none.
 * @throws ServerError `upstream-failed` for bytes of another digest than was asked for, or than the answer itself says; too many bytes;
 * any other answer.
 */
export async function remoteManifest(remote: Asking, reference: string): Promise<RemoteManifest | undefined> {
  const answer = await remote.ask({
    method: "GET",
    path: referenceOf(reference),
    headers: { accept: ACCEPT },
    totalMs: MIRROR_LIMITS.smallMs,
  });
  if (answer.status === 404) {
    answer.discard();
    return undefined;
  }
  if (answer.status !== 200) throw unexpectedAnswer(answer);
  const bytes = await readSmall(answer, REGISTRY_LIMITS.manifestBytes);
  const said = answer.headers["docker-content-digest"];
  for (const expected of [reference, said]) {
    if (isNamedDigest(expected) && digestLike(expected, bytes) !== expected) {
      throw upstreamFailed(answer.shown, `answers with bytes that are not ${expected}`);
    }
  }
  return { bytes, digest: digestOf(nodeCrypto, bytes), mediaType: answer.headers["content-type"] };
}

/**
 * The bytes of a blob as they come: whoever reads them computes their digest.
 *
 * @param size what they must have.
 * @throws ServerError `upstream-failed` when there is none, or one of another size.
 */
export async function remoteBlob(
  remote: Asking,
  named: NamedDigest,
  size: number,
): Promise<AsyncGenerator<Uint8Array, void, undefined>> {
  const answer = await remote.ask({ method: "GET", path: `blobs/${named}`, totalMs: MIRROR_LIMITS.blobMs });
  if (answer.status !== 200) throw unexpectedAnswer(answer);
  const stated = answer.headers["content-length"];
  if (stated !== undefined && Number(stated) !== size) {
    answer.discard();
    throw upstreamFailed(answer.shown, `has ${stated} bytes, and not the ${size} that the manifest says`);
  }
  return answer.body();
}

/** Where a list goes on (RFC 8288), if it says so and the place is the registry's own. */
function nextOf(answer: StreamedAnswer): string | undefined {
  const { link } = answer.headers;
  const header = Array.isArray(link) ? link.join(", ") : link;
  return header === undefined ? undefined : /<([^>]+)>\s*;[^,]*rel="?next"?/i.exec(header)?.[1];
}

/** A list page by page. @throws ServerError `upstream-failed` when it has more pages than are read: part of it is not the list. */
async function* pages(remote: Asking, path: string, accept: string): AsyncGenerator<JsonValue, void, undefined> {
  let next: string | undefined = path;
  for (let page = 0; next !== undefined; page += 1) {
    if (page === MIRROR_LIMITS.pages) {
      throw upstreamFailed(remote.place.origin, `lists ${path} in more than ${MIRROR_LIMITS.pages} pages`);
    }
    const answer: StreamedAnswer = await remote.ask({
      method: "GET",
      path: next,
      headers: { accept },
      totalMs: MIRROR_LIMITS.smallMs,
    });
    if (answer.status === 404) {
      answer.discard();
      return;
    }
    if (answer.status !== 200) throw unexpectedAnswer(answer);
    const bytes = await readSmall(answer, MIRROR_LIMITS.pageBytes);
    try {
      yield parseJson(bytes, { maxBytes: MIRROR_LIMITS.pageBytes, maxDepth: 64 });
    } catch (cause) {
      throw upstreamFailed(answer.shown, "answers with what cannot be read", { cause });
    }
    next = nextOf(answer);
  }
}

/** The digests in an index or a page of referrers. */
function digestsIn(value: JsonValue | undefined): Digest[] {
  const manifests = isJsonObject(value) ? value["manifests"] : undefined;
  if (!isJsonArray(manifests)) return [];
  return manifests.flatMap((entry) => {
    const digest = isJsonObject(entry) ? entry["digest"] : undefined;
    return isDigest(digest) ? [digest] : [];
  });
}

/**
 * Digests of manifests that a registry lists as about a subject (OCI distribution 1.1, "Listing Referrers"): by its API, else by the
 * fallback tag. Whether each is, its own bytes say. At most `limit`.
 */
export async function remoteReferrers(remote: Asking, subject: Digest, limit: number): Promise<Digest[]> {
  const found = new Set<Digest>();
  let listed = false;
  for await (const page of pages(remote, `referrers/${subject}`, OCI_INDEX)) {
    listed = true;
    for (const digest of digestsIn(page)) if (found.size < limit) found.add(digest);
    if (found.size >= limit) break;
  }
  if (!listed) {
    const index = await remoteManifest(remote, subject.replace(":", "-"));
    for (const digest of digestsIn(index && readListed(remote, index))) if (found.size < limit) found.add(digest);
  }
  return [...found];
}

/** What lies under a fallback tag. @throws ServerError `upstream-failed` for what is no JSON: anybody may have pushed anything there. */
export function readListed(remote: Asking, { bytes, digest }: RemoteManifest): JsonValue {
  try {
    return parseJson(bytes, { maxBytes: REGISTRY_LIMITS.manifestBytes, maxDepth: 64 });
  } catch (cause) {
    const { origin, repository } = remote.place;
    throw upstreamFailed(`${origin}/v2/${repository}/manifests/${digest}`, "is no list of referrers", { cause });
  }
}

/** Whether a registry lists referrers itself (OCI distribution 1.1, "Listing Referrers"). */
export async function listsReferrers(remote: Asking, subject: Digest): Promise<boolean> {
  const answer = await remote.ask({
    method: "GET",
    path: `referrers/${subject}`,
    headers: { accept: OCI_INDEX },
    totalMs: MIRROR_LIMITS.smallMs,
  });
  answer.discard();
  if (answer.status === 200) return true;
  if (answer.status === 404) return false;
  throw unexpectedAnswer(answer);
}

/** The tags of a repository, page by page. What is no tag is passed over. */
export async function* remoteTags(remote: Asking): AsyncGenerator<string, void, undefined> {
  for await (const page of pages(remote, "tags/list?n=1000", "application/json")) {
    const tags = isJsonObject(page) ? page["tags"] : undefined;
    if (!isJsonArray(tags)) continue;
    for (const tag of tags) if (typeof tag === "string" && isTag(tag)) yield tag;
  }
}
