import { type Digest, isDigest } from "@assay/evidence";
import { Problem } from "../http/problem.ts";
import type { Actor, Command } from "../record/command.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import type { Given } from "./piece.ts";
import { MAX_BUNDLE_BYTES, readAttachedBundle, type ReadPiece, unreadablePiece } from "./reading.ts";
import { proveSigners } from "./signers.ts";

/** What the media types of Sigstore bundles, of every version, begin with. */
const BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle";

/** Bundles one manifest may carry; clients put one in each. */
const MAX_BUNDLES = 16;

/** What the registry tells of a manifest it is about to record. */
export interface PushedManifest {
  readonly org: string;
  /** Whole name, "org/path". */
  readonly repository: string;
  readonly actor: Actor;
  readonly digest: Digest;
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[];
}

export interface CompanionsContext {
  readonly reader: Reader;
  readonly blobs: BlobStore;
}

/**
 * The evidence in a manifest: what fills the registry's hook. The commands it returns are appended together with the manifest's own, so
 * that a pushed bundle is in the index when the push is answered, and a refused one leaves no manifest behind.
 */
export function evidenceCompanions(context: CompanionsContext): (pushed: PushedManifest) => Promise<Command[]> {
  return async (pushed) => {
    const { subject } = pushed;
    if (subject === undefined) return [];
    const bundles = pushed.layers.filter(
      (layer) => isBundleType(layer.mediaType) || isBundleType(pushed.artifactType ?? ""),
    );
    if (bundles.length > MAX_BUNDLES) {
      throw new Problem(400, "too-many-bundles", `the manifest carries ${bundles.length} Sigstore bundles`, {
        hint: `attach at most ${MAX_BUNDLES} in one manifest`,
      });
    }
    const commands: Command[] = [];
    for (const layer of bundles) {
      if (!isDigest(layer.digest)) continue;
      const command = await companion(context, pushed, subject, layer.digest);
      if (command !== undefined) commands.push(command);
    }
    return commands;
  };
}

function isBundleType(mediaType: string): boolean {
  return mediaType.startsWith(BUNDLE_FAMILY);
}

async function companion(
  context: CompanionsContext,
  pushed: PushedManifest,
  subject: Digest,
  layer: Digest,
): Promise<Command | undefined> {
  const size = await context.blobs.size(layer);
  // A layer that is not here makes the registry refuse the manifest, and this command with it.
  if (size === undefined) return undefined;
  let piece: ReadPiece;
  let bytes: Uint8Array | undefined;
  if (size > MAX_BUNDLE_BYTES) {
    piece = unreadablePiece(
      layer,
      size,
      subject,
      `too-large: it has ${size} bytes; bundles have at most ${MAX_BUNDLE_BYTES}`,
    );
  } else {
    bytes = await context.blobs.readSmall(layer, MAX_BUNDLE_BYTES);
    piece = readAttachedBundle(bytes, subject);
  }
  const { signers, provenUnder } = await proveSigners(context.reader, pushed.org, bytes ?? new Uint8Array(0), piece);
  const given: Given = {
    ...piece,
    signers,
    repository: pushed.repository,
    source: { kind: "referrer", manifest: pushed.digest },
  };
  return { type: "attestations.add", org: pushed.org, actor: pushed.actor, body: { ...given, provenUnder } };
}
