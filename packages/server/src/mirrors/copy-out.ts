import {
  type Digest,
  digestOf,
  isDigest,
  isJsonArray,
  isJsonObject,
  type JsonValue,
  parseDigest,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import { canonicalDigest, repositoriesHolding } from "../registry/alias-queries.ts";
import { REGISTRY_LIMITS } from "../registry/limits.ts";
import { OCI_INDEX, type ManifestFacts, parseManifest } from "../registry/manifest.ts";
import { findBlob, findManifest, listReferrers, resolveTag, type StoredManifest } from "../registry/queries.ts";
import { evidenceTagSubject } from "../registry/tag-rules.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import type { Outcome } from "./progress.ts";
import type { Remote } from "./remote.ts";
import { listsReferrers, readListed, remoteDigest, remoteManifest } from "./remote-reads.ts";
import { hasBlob, putBlob, putManifest } from "./remote-writes.ts";

/** Under what cosign 1 and 2 keep evidence about a digest. */
const COSIGN = [".sig", ".att", ".sbom"] as const;

/** What copies are made with. */
export interface CopyOutContext {
  readonly reader: Reader;
  readonly blobs: BlobStore;
  readonly org: string;
  readonly evidence: boolean;
  readonly now: () => number;
  /** The repository on the other registry that a repository here is copied to; undefined: to none. */
  remoteOf(repository: string): Remote | undefined;
  /** Called as it gets on; a rejection ends it. */
  beat(): Promise<void>;
}

/** Something is not here any more that was a moment ago. */
function gone(repository: string, digest: string): ServerError {
  return new ServerError("upstream-failed", `${repository} does not have ${digest} whole`, {
    hint: "a mirror has what was pulled through it: fill it first",
  });
}

/**
 * Copies manifests and what they name to another registry. What is there is passed over, so that one that was broken off goes on where it
 * was: blobs before the manifest that names them, members before their index, the tag last.
 */
export class CopyOut {
  readonly #context: CopyOutContext;
  /** Of which registries it is known whether they list referrers. */
  readonly #listing = new WeakMap<Remote, boolean>();

  constructor(context: CopyOutContext) {
    this.#context = context;
  }

  /** Copies what a tag names, the tag, and the evidence about it. */
  async tag(remote: Remote, repository: string, tag: string): Promise<Outcome> {
    const { outcome, digest } = await this.#tagged(remote, repository, tag);
    if (!this.#context.evidence || digest === undefined) return outcome;
    return (await this.#about(remote, repository, digest, 0)) === "copied" ? "copied" : outcome;
  }

  /**
   * Copies a tag and what it names.
   *
   * INVARIANT: whoever set it there last has looked here after that. Another run, or another process that takes longer, may copy the same tag
   * as it was before it moved here; without the second look the older one would stay there, and nobody would look again.
   *
   * @returns what it names here; undefined: it is gone.
   */
  async #tagged(
    remote: Remote,
    repository: string,
    tag: string,
  ): Promise<{ readonly outcome: Outcome; readonly digest: Digest | undefined }> {
    let outcome: Outcome = "present";
    let put: Digest | undefined;
    for (let moves = 0; moves <= MIRROR_LIMITS.movesFollowed; moves += 1) {
      const digest = (await resolveTag(this.#context.reader, repository, tag))?.digest;
      if (digest === undefined || digest === put) return { outcome, digest };
      if ((await remoteDigest(remote, tag)) === digest) return { outcome, digest };
      await this.#manifest(remote, repository, digest, { reference: tag, depth: 0 });
      outcome = "copied";
      put = digest;
    }
    throw new ServerError("upstream-failed", `${repository}:${tag} moves faster than it is copied`);
  }

  /** Copies evidence by its digest, if what it is about is there. */
  async referrer(remote: Remote, repository: string, digest: Digest, subject: string): Promise<Outcome> {
    if ((await remoteDigest(remote, subject)) === undefined) return "present";
    return await this.#piece(remote, repository, digest, isDigest(subject) ? subject : undefined);
  }

  /** Copies what lies under one of cosign's tags, if what it is about is there. */
  async evidenceTag(remote: Remote, repository: string, tag: string): Promise<Outcome> {
    const subject = evidenceTagSubject(tag);
    if (subject === undefined || (await remoteDigest(remote, subject)) === undefined) return "present";
    return (await this.#tagged(remote, repository, tag)).outcome;
  }

  /** The evidence about a manifest and, for an index, about its members. */
  async #about(remote: Remote, repository: string, digest: Digest, depth: number): Promise<Outcome> {
    const { reader } = this.#context;
    let outcome: Outcome = "present";
    const took = (one: Outcome): void => {
      if (one === "copied") outcome = "copied";
    };
    for (let last = ""; ; ) {
      const page = { last, limit: MIRROR_LIMITS.step, artifactType: undefined };
      const found = await listReferrers(reader, repository, digest, page);
      for (const referrer of found) {
        await this.#context.beat();
        took(await this.#piece(remote, repository, referrer.digest, digest));
        if (depth < MIRROR_LIMITS.evidenceDepth)
          took(await this.#about(remote, repository, referrer.digest, depth + 1));
        last = referrer.digest;
      }
      if (found.length < MIRROR_LIMITS.step) break;
    }
    for (const suffix of COSIGN) {
      const tag = `${digest.replace(":", "-")}${suffix}`;
      took((await this.#tagged(remote, repository, tag)).outcome);
    }
    if (depth > 0) return outcome;
    const { facts } = await this.#read(repository, digest);
    for (const child of facts.references) {
      if (child.kind !== "child" || !isDigest(child.digest)) continue;
      if ((await findManifest(reader, repository, child.digest)) === undefined) continue;
      took(await this.#about(remote, repository, child.digest, 1));
    }
    return outcome;
  }

  async #piece(remote: Remote, repository: string, digest: Digest, subject: Digest | undefined): Promise<Outcome> {
    if ((await remoteDigest(remote, digest)) !== undefined) {
      // A run may have been broken off between the two, and two runs may have overwritten each other's list.
      if (subject === undefined || (await this.#lists(remote, subject))) return "present";
      const piece = await this.#read(repository, digest);
      return (await this.#listByTag(remote, subject, piece)) ? "copied" : "present";
    }
    await this.#manifest(remote, repository, digest, { reference: digest, depth: 0 });
    return "copied";
  }

  async #read(
    repository: string,
    digest: Digest,
  ): Promise<{ readonly stored: StoredManifest; readonly bytes: Uint8Array; readonly facts: ManifestFacts }> {
    const stored = await findManifest(this.#context.reader, repository, digest);
    if (stored === undefined) throw gone(repository, digest);
    const bytes = await this.#context.blobs.readSmall(digest, REGISTRY_LIMITS.manifestBytes);
    return { stored, bytes, facts: parseManifest(bytes, stored.mediaType) };
  }

  async #manifest(
    remote: Remote,
    repository: string,
    digest: Digest,
    { reference, depth }: { readonly reference: string; readonly depth: number },
  ): Promise<void> {
    if (depth > MIRROR_LIMITS.indexDepth) throw gone(repository, `${digest}, an index in too many others,`);
    await this.#context.beat();
    const { reader, now } = this.#context;
    const { stored, bytes, facts } = await this.#read(repository, digest);
    for (const named of facts.references) {
      const canonical = await canonicalDigest(reader, repository, named.digest, now());
      const child = named.kind === "child" && canonical ? await findManifest(reader, repository, canonical) : undefined;
      if (child !== undefined) {
        if ((await remoteDigest(remote, child.digest)) === undefined) {
          await this.#manifest(remote, repository, child.digest, { reference: child.digest, depth: depth + 1 });
        }
      } else if (!named.mayBeMissing) {
        if (canonical === undefined) throw gone(repository, named.digest);
        await this.#blob(remote, repository, canonical, named.size);
      }
    }
    const listed = await putManifest(remote, reference, { bytes, mediaType: stored.mediaType });
    if (facts.subject !== undefined && !listed && isDigest(facts.subject.digest)) {
      await this.#listByTag(remote, facts.subject.digest, { stored, bytes, facts });
    }
  }

  async #blob(remote: Remote, repository: string, digest: Digest, size: number): Promise<void> {
    await this.#context.beat();
    if (await hasBlob(remote, digest)) return;
    const { blobs, reader, org, now } = this.#context;
    // What lies in the store for somebody else is not this repository's to copy.
    if ((await findBlob(reader, repository, digest, now())) === undefined) throw gone(repository, digest);
    // Where another of our repositories has it, its copy there may have it too.
    const holding = await repositoriesHolding(reader, org, digest, { now: now(), limit: 10 });
    const other = holding.find((name) => name !== repository);
    const from = other === undefined ? undefined : this.#context.remoteOf(other)?.place.repository;
    const bytes = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      yield* (await blobs.read(digest)) as AsyncIterable<Uint8Array>;
    };
    await putBlob(remote, { digest, size, bytes }, from);
  }

  /** Whether a registry lists referrers itself: asked once. */
  async #lists(remote: Remote, subject: Digest): Promise<boolean> {
    const known = this.#listing.get(remote);
    if (known !== undefined) return known;
    const lists = await listsReferrers(remote, subject);
    this.#listing.set(remote, lists);
    return lists;
  }

  /**
   * For a registry that knows no referrers: adds a manifest to the index under its subject's tag (OCI distribution 1.1, "Referrers Tag
   * Schema").
   *
   * @returns whether it was not in it.
   */
  async #listByTag(
    remote: Remote,
    subject: Digest,
    {
      stored,
      bytes,
      facts,
    }: { readonly stored: StoredManifest; readonly bytes: Uint8Array; readonly facts: ManifestFacts },
  ): Promise<boolean> {
    const tag = subject.replace(":", "-");
    const there = await remoteManifest(remote, tag);
    const read = there && readListed(remote, there);
    const listed = isJsonObject(read) ? read["manifests"] : undefined;
    const manifests: JsonValue[] = isJsonArray(listed) ? [...listed] : [];
    const digest = parseDigest(digestOf(nodeCrypto, bytes));
    if (manifests.some((entry) => isJsonObject(entry) && entry["digest"] === digest)) return false;
    manifests.push({
      mediaType: stored.mediaType,
      digest,
      size: bytes.length,
      ...(facts.artifactType === undefined ? {} : { artifactType: facts.artifactType }),
      ...(facts.annotations === undefined ? {} : { annotations: { ...facts.annotations } }),
    });
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    await putManifest(remote, tag, { bytes: index, mediaType: OCI_INDEX });
    return true;
  }
}
