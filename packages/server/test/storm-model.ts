/**
 * What the clients of a storm were told: which manifests and tags are there, which are gone, and which may be either because an answer was
 * lost. What a client asks for is noted here before it is sent, and made certain by the answer alone.
 */
import { createCipheriv, createHash } from "node:crypto";
import { sha256 } from "./pushing.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./registry-room.ts";
import type { Answer } from "./storm-hosts.ts";

/** Bytes by name: the same name has the same bytes, so that none need be kept. */
export class Blob {
  readonly name: string;
  readonly size: number;
  readonly digest: string;

  constructor(name: string, size: number) {
    this.name = name;
    this.size = size;
    this.digest = sha256(this.bytes());
  }

  bytes(): Buffer {
    const key = createHash("sha256").update(this.name).digest();
    const cipher = createCipheriv("aes-128-ctr", key.subarray(0, 16), key.subarray(16));
    return cipher.update(Buffer.alloc(this.size));
  }
}

/** A manifest of one repository. */
export interface Artifact {
  readonly repository: string;
  readonly digest: string;
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly blobs: readonly Blob[];
  readonly children: readonly Artifact[];
  readonly subject: Artifact | undefined;
  state: "stands" | "unsure" | "gone";
  /** Raised before anything is asked that may change it. */
  changes: number;
}

/** A tag of one repository. */
export interface Tag {
  readonly repository: string;
  readonly name: string;
  /** What it may name; undefined: it may be that there is none. One member: it is certain. */
  may: Set<Artifact | undefined>;
  changes: number;
}

/** What a manifest is made of. */
export interface Parts {
  readonly blobs?: readonly Blob[];
  readonly children?: readonly Artifact[];
  readonly subject?: Artifact;
  /** Makes it another one. */
  readonly note: string;
}

const IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json";
const IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar";

/** The manifest of such parts: an index of its children, or an image (the first blob is its configuration), perhaps about a subject. */
function manifestOf({ blobs = [], children = [], subject, note }: Parts): { bytes: Buffer; mediaType: string } {
  const annotations = { "org.example.note": note };
  if (children.length > 0) {
    const manifests = children.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.length }));
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests, annotations };
    return { bytes: Buffer.from(JSON.stringify(index)), mediaType: OCI_INDEX };
  }
  const [config, ...layers] = blobs.map(({ digest, size }, at) => ({
    mediaType: at === 0 ? IMAGE_CONFIG : IMAGE_LAYER,
    digest,
    size,
  }));
  const about =
    subject === undefined
      ? {}
      : {
          artifactType: "application/vnd.example.note",
          subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.bytes.length },
        };
  const image = { schemaVersion: 2, mediaType: OCI_MANIFEST, ...about, config, layers, annotations };
  return { bytes: Buffer.from(JSON.stringify(image)), mediaType: OCI_MANIFEST };
}

/** Something that must not be: this ends the storm. */
export class Wrong extends Error {}

/** @throws Wrong always: what was answered must not be. */
export function fail(what: string, { status, bytes }: Answer): never {
  throw new Wrong(`${what}: ${status} ${bytes.toString().slice(0, 500)}`);
}

/** What one client was told. Manifests and tags are one client's each; blobs and repositories are everybody's. */
export class Told {
  readonly artifacts = new Map<string, Artifact>();
  readonly tags = new Map<string, Tag>();
  /** Those of `artifacts` that stand or may, in the order they were first pushed. */
  readonly here = new Set<Artifact>();
  /** Those that are gone. */
  readonly gone = new Set<Artifact>();

  /** The manifest of such parts in a repository; one that was never pushed is gone. */
  artifact(repository: string, parts: Parts): Artifact {
    const { bytes, mediaType } = manifestOf(parts);
    const digest = sha256(bytes);
    const key = `${repository}@${digest}`;
    const known = this.artifacts.get(key);
    if (known !== undefined) return known;
    const { blobs = [], children = [], subject } = parts;
    const made: Artifact = {
      repository,
      digest,
      bytes,
      mediaType,
      blobs,
      children,
      subject,
      state: "gone",
      changes: 0,
    };
    this.artifacts.set(key, made);
    return made;
  }

  tag(repository: string, name: string): Tag {
    const key = `${repository}:${name}`;
    let tag = this.tags.get(key);
    if (tag === undefined) {
      tag = { repository, name, may: new Set([undefined]), changes: 0 };
      this.tags.set(key, tag);
    }
    return tag;
  }

  /** Those that may name a manifest. */
  tagsOf(artifact: Artifact): Tag[] {
    return [...this.tags.values()].filter(({ may }) => may.has(artifact));
  }

  set(artifact: Artifact, state: Artifact["state"]): void {
    artifact.state = state;
    if (state === "gone") {
      this.here.delete(artifact);
      this.gone.add(artifact);
    } else {
      this.gone.delete(artifact);
      this.here.add(artifact);
    }
  }

  /** Before a push is sent. @returns what takes it back: the answer said that nothing of it was done. */
  pushing(artifact: Artifact, tag: Tag | undefined): () => void {
    const before = { state: artifact.state, may: tag && new Set(tag.may) };
    artifact.changes += 1;
    if (before.state === "gone") this.set(artifact, "unsure");
    if (tag !== undefined) {
      tag.changes += 1;
      tag.may.add(artifact);
    }
    return () => {
      this.set(artifact, before.state);
      if (tag !== undefined && before.may !== undefined) tag.may = before.may;
    };
  }

  pushed(artifact: Artifact, tag: Tag | undefined): void {
    this.set(artifact, "stands");
    if (tag !== undefined) tag.may = new Set([artifact]);
  }

  /** Before a manifest's deletion is sent: it ends the tags that name it, too. */
  deleting(artifact: Artifact): void {
    artifact.changes += 1;
    this.set(artifact, "unsure");
    for (const tag of this.tagsOf(artifact)) {
      tag.changes += 1;
      tag.may.add(undefined);
    }
  }

  deleted(artifact: Artifact): void {
    this.set(artifact, "gone");
    for (const tag of this.tagsOf(artifact)) tag.may.delete(artifact);
  }

  untagging(tag: Tag): void {
    tag.changes += 1;
    tag.may.add(undefined);
  }

  untagged(tag: Tag): void {
    tag.may = new Set([undefined]);
  }
}
