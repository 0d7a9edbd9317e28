import type { Digest } from "@assay/evidence";
import type { Authenticator } from "../access/authenticate.ts";
import type { Actor, Command } from "../record/command.ts";
import type { RecordClient } from "../record/client.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import type { NamedDigest } from "./digest.ts";
import type { PullGate } from "./pull-gate.ts";
import type { PushRule } from "./push-rule.ts";

/** A layer by its one name. */
export interface PushedLayer {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly mediaType: string;
}

/** A manifest as it comes in: what the registry read in it, and its bytes. */
export interface PushedManifest {
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  readonly actor: Actor;
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  /** What it is about; undefined for most images, and while that is a digest which stands for nothing in the repository. */
  readonly subject: Digest | undefined;
  /** As referrers lists show it. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /**
   * Its layers, each digest once. Only those that this repository holds: a layer "distributed elsewhere" may name bytes of another
   * tenant, and nobody gets to see those by naming them.
   */
  readonly layers: readonly PushedLayer[];
  /** What its digests of other algorithms stand for. */
  readonly aliases: ReadonlyMap<string, Digest>;
  /** Tags this push sets; none for one whose subject is unknown, which is about that and about nothing that a tag could say. */
  readonly tags: readonly string[];
  readonly bytes: Uint8Array;
}

/** What a pull asks for, by somebody who may pull in this repository. */
export interface AskedPull {
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
}

/**
 * Where a repository gets what it does not have. The registry declares it, a room above fills it. It answers nothing itself: what it brings
 * is in the repository when it resolves, accepted like anything that is pushed, and is then looked for there.
 */
export interface PullThrough {
  /**
   * Brings a tag up to date, or a manifest that is not here.
   *
   * @param here what the repository would answer with now.
   * @returns undefined when the repository gets nothing from anywhere.
   * @throws OciError when what is here may not be served, and when there is nothing and nothing could be brought.
   */
  manifest(
    pull: AskedPull,
    reference: { readonly tag: string } | { readonly digest: NamedDigest },
    here: Digest | undefined,
  ): Promise<{ readonly changed: boolean; readonly warning?: string } | undefined>;
  /**
   * Brings a blob that manifests of the repository name and that is not here.
   *
   * @throws OciError when it could not be brought.
   */
  blob(pull: AskedPull, named: NamedDigest): Promise<void>;
}

/** What the `/v2/` door stands on. */
export interface RegistryContext {
  /** Where clients reach this server, without a slash at the end. Locations begin with it, never with what a request says. */
  readonly publicUrl: string;
  readonly defaultOrg: string;
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly blobs: BlobStore;
  readonly authenticator: Authenticator;
  /**
   * What else the record takes up with a pushed manifest (evidence it carries): commands appended with the push, all or none. Called
   * after the manifest was checked and before it is recorded.
   */
  companions(push: PushedManifest): Promise<Command[]>;
  /** Whether what may be pulled is fit to be. Absent: nothing is. */
  readonly gate?: PullGate;
  /** What rooms above say of pushes: the same that the record asks in its transaction. */
  readonly pushRule: PushRule;
  /** Where a repository gets what it does not have; absent: nowhere. */
  readonly through?: PullThrough;
  /** Manifests may name what their repository does not have; absent: they may not. */
  readonly sparseManifests?: boolean;
  /** Pulls of blobs are sent to the store itself, where it lends them out; absent: they are not. */
  readonly blobRedirects?: boolean;
  /** How long a blob stays visible without a manifest, ms; `LEASE_MS` when absent, and at most. */
  readonly leaseMs?: number;
  /** Asked before each piece of an upload is stored; throws when there is no room for more. Absent: there always is. */
  readonly mayGrow?: () => void;
  /** ms since the epoch; the system's clock when absent. */
  readonly now?: () => number;
}
