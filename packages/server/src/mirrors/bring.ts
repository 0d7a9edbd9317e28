import type { Digest } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { Keyring } from "../keys/keyring.ts";
import { acceptManifest, type AcceptedManifest } from "../registry/accept-manifest.ts";
import type { PushedManifest } from "../registry/context.ts";
import { canonicalDigest } from "../registry/alias-queries.ts";
import { algorithmOf, type NamedDigest } from "../registry/digest.ts";
import { OciError } from "../registry/errors.ts";
import { LEASE_MS, REGISTRY_LIMITS } from "../registry/limits.ts";
import { type ManifestFacts, parseManifest } from "../registry/manifest.ts";
import type { PushRule } from "../registry/push-rule.ts";
import { findBlob } from "../registry/queries.ts";
import { isEvidenceTag } from "../registry/tag-rules.ts";
import { Uploads } from "../registry/uploads.ts";
import type { Command } from "../record/command.ts";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { AtOnce } from "./at-once.ts";
import { mirrorActor } from "./commands.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import type { MirrorRow } from "./queries.ts";
import { type Asking, askingUntil, type RemoteContext, upstreamFailed } from "./remote.ts";
import { remoteBlob, type RemoteManifest } from "./remote-reads.ts";

/** What mirrors stand on. */
export interface MirrorsContext extends RemoteContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly blobs: BlobStore;
  readonly keyring: Keyring;
  /** The registry's own hook: what a manifest carries as evidence is taken up whoever brings it. */
  readonly companions: (push: PushedManifest) => Promise<Command[]>;
  readonly pushRule: PushRule;
  readonly mayGrow?: (() => void) | undefined;
  /** How long a blob stays visible without a manifest, ms; `LEASE_MS` when absent. */
  readonly leaseMs?: number | undefined;
  readonly log: { warn(detail: object, message: string): void };
}

/** Where something is brought from, and to. */
export interface Way {
  readonly mirror: MirrorRow;
  readonly remote: Asking;
}

/**
 * Brings manifests and blobs from a registry into a repository, as the mirror itself, by the ways that everything that is pushed comes in.
 *
 * INVARIANT: nothing is in the repository before this server computed its digest from the bytes that came, whatever the other registry
 * said of them.
 */
export class Bringer {
  readonly #context: MirrorsContext;
  readonly #uploads: Uploads;
  readonly #places = new AtOnce({
    places: MIRROR_LIMITS.blobsAtOnce,
    each: MIRROR_LIMITS.blobsPerOrganisation,
    waiting: MIRROR_LIMITS.waiting,
  });

  constructor(context: MirrorsContext) {
    this.#context = context;
    this.#uploads = new Uploads({ ...context, leaseMs: context.leaseMs ?? LEASE_MS });
  }

  /**
   * Takes up a manifest that was read from the upstream. What it names may come later, when somebody asks for it; but what may be evidence
   * comes first, so that it is read with its manifest.
   *
   * @throws OciError, Problem what the registry refuses; ServerError `upstream-failed`, `egress-failed`.
   */
  async manifest(
    way: Way,
    { bytes, mediaType, digest }: RemoteManifest,
    asked: { readonly tag: string | undefined; readonly expected: NamedDigest | undefined },
  ): Promise<AcceptedManifest> {
    const { org, repository } = way.mirror;
    const facts = this.#facts(way, bytes, mediaType, digest);
    if (facts.subject !== undefined || (asked.tag !== undefined && isEvidenceTag(asked.tag))) {
      const { now } = this.#context;
      // Whoever asked for the manifest waits for all of this, and nothing says that it is any evidence.
      const soon = { ...way, remote: askingUntil(way.remote, now() + MIRROR_LIMITS.evidenceMs, now) };
      let left: number = MIRROR_LIMITS.evidenceBlobBytes;
      for (const { kind, mayBeMissing, digest: named, size } of facts.references) {
        if (kind === "child" || mayBeMissing || size > left) continue;
        left -= size;
        await this.blob(soon, named, size);
      }
    }
    return await acceptManifest(this.#context, {
      org,
      repository,
      actor: mirrorActor(repository, way.mirror.from_seq),
      bytes,
      expected: asked.expected,
      contentType: mediaType,
      tags: asked.tag === undefined ? [] : [asked.tag],
      sparse: true,
    });
  }

  #facts({ remote }: Way, bytes: Uint8Array, mediaType: string | undefined, digest: Digest): ManifestFacts {
    try {
      return parseManifest(bytes, mediaType);
    } catch (cause) {
      if (!(cause instanceof OciError)) throw cause;
      const { origin, repository } = remote.place;
      throw upstreamFailed(`${origin}/v2/${repository}/manifests/${digest}`, `is no manifest: ${cause.message}`, {
        cause,
      });
    }
  }

  /**
   * Brings a blob, unless it is here: stores it whole, and only then is it to be seen.
   *
   * @param size what it must have.
   * @returns whether it was brought.
   * @throws ServerError `upstream-failed`, `egress-failed`, `egress-refused`; OciError 429.
   */
  async blob(way: Way, named: NamedDigest, size: number): Promise<boolean> {
    const { reader, record, now } = this.#context;
    const { org, repository } = way.mirror;
    const digest = await canonicalDigest(reader, repository, named, now());
    if (digest !== undefined && (await findBlob(reader, repository, digest, now())) !== undefined) return false;
    // More than a blob may have, whoever pushes it.
    if (size > REGISTRY_LIMITS.blobBytes) {
      throw upstreamFailed(
        way.mirror.url,
        `names ${named} with ${size} bytes: a blob has at most ${REGISTRY_LIMITS.blobBytes}`,
      );
    }
    const actor = mirrorActor(repository, way.mirror.from_seq);
    const awaited = await this.#places.run(org, () =>
      this.#uploads.once({ actor, org, repository }, algorithmOf(named), async (session) => {
        // Bytes that lie in the store for somebody else are no answer: that the upstream has them, only the upstream can say.
        const source = await remoteBlob(way.remote, named, size);
        try {
          await this.#uploads.receiveFrom(session, source, size);
          return await this.#uploads.finish(session, named);
        } catch (cause) {
          if (!(cause instanceof OciError)) throw cause;
          const { origin, repository: theirs } = way.remote.place;
          throw upstreamFailed(`${origin}/v2/${theirs}/blobs/${named}`, `is not what it should be: ${cause.message}`, {
            cause,
          });
        } finally {
          await source.return();
        }
      }),
    );
    if (!awaited) return true;
    const body = { repository, digest: named };
    const held = await record.append({ type: "registry.hold-reference", org, actor, body });
    if (!held.ok) throw new ServerError("upstream-failed", `${named} could not be taken up: ${held.refusal.message}`);
    return true;
  }
}
