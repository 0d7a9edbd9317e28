import { type Digest, EvidenceError, formatCosignSignature } from "@assay/evidence";
import { store } from "../collection/naming.ts";
import { Problem } from "../http/problem.ts";
import type { Actor, Command } from "../record/command.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { type ArtifactBytes, type JudgingContext, withinOneRequest } from "./artifact-bytes.ts";
import { type Attachment, attachmentsOf, type Layer } from "./attachments.ts";
import { evidenceLines } from "./lines.ts";
import type { Given } from "./piece.ts";
import {
  MAX_EVIDENCE_BYTES,
  readAttached,
  readAttachedStatement,
  readLine,
  type ReadPiece,
  readSbom,
  unreadablePiece,
} from "./reading.ts";
import { proveSigners } from "./signers.ts";

/** Pieces one manifest may bring. cosign 2 collects all signatures of an image in one manifest, which it pushes again with each. */
const MAX_PIECES = 256;

/**
 * Bytes of evidence that one manifest may bring, each layer counted as often as it is listed: one blob of the largest size, listed with
 * other annotations again and again, would otherwise make hundreds of pieces of that size out of one small manifest.
 */
const MAX_BROUGHT_BYTES = 4 * MAX_EVIDENCE_BYTES;

/** What the registry tells of a manifest it is about to record. */
export interface PushedManifest {
  readonly org: string;
  /** Whole name, "org/path". */
  readonly repository: string;
  readonly actor: Actor;
  readonly digest: Digest;
  readonly subject: Digest | undefined;
  readonly artifactType: string | undefined;
  /** Those of its layers that this repository holds: naming another tenant's bytes makes evidence of nothing. */
  readonly layers: readonly { readonly digest: string }[];
  /** What its digests of other algorithms stand for. */
  readonly aliases: ReadonlyMap<string, Digest>;
  /** Tags this push sets. */
  readonly tags: readonly string[];
  readonly bytes: Uint8Array;
}

export interface CompanionsContext extends ArtifactBytes {
  readonly blobs: BlobStore;
  readonly reader: Reader;
}

/** A piece that came in a manifest: its bytes, unless they are too many to read. */
interface Brought {
  readonly piece: ReadPiece;
  readonly bytes: Uint8Array | undefined;
}

/**
 * The evidence in a manifest: what fills the registry's hook. The commands it returns are appended together with the manifest's own, so
 * that pushed evidence is in the index when the push is answered, and a refused one leaves no manifest behind. A tag that moves adds what
 * its new manifest has; what the old one had stays.
 */
export function evidenceCompanions(context: CompanionsContext): (pushed: PushedManifest) => Promise<Command[]> {
  return async (pushed) => {
    const judging = withinOneRequest(context);
    const held = new Set(pushed.layers.map(({ digest }) => digest));
    const attachments = attachmentsOf(pushed).filter(({ layer }) => held.has(layer.digest));
    if (attachments.length > MAX_PIECES) throw tooMany(attachments.length);
    let bytes = 0;
    for (const { layer } of attachments) {
      const size = (await context.blobs.size(layer.digest)) ?? 0;
      // What is larger than evidence may be is not read.
      if (size <= MAX_EVIDENCE_BYTES) bytes += size;
    }
    if (bytes > MAX_BROUGHT_BYTES) throw tooLarge();
    const commands = new Map<string, Command>();
    const stored = new Map<string, Command>();
    for (const attachment of attachments) {
      const { layer } = attachment;
      for (const brought of await bring(context, attachment)) {
        const { evidence, form } = brought.piece;
        // The same piece listed twice is one piece.
        const name = `${evidence} ${form} ${attachment.subject}`;
        if (!commands.has(name)) commands.set(name, await command(judging, pushed, attachment, brought));
        const { bytes: made } = brought;
        // What is made of a layer, a container or a line, is a blob of ours: here before the event that names it. A layer itself is held by the
        // repository, which the registry asks for once more when it records the push.
        if (made !== undefined && evidence !== layer.digest && !stored.has(evidence)) {
          stored.set(evidence, await store(context, pushed, made));
        }
        if (commands.size > MAX_PIECES) throw tooMany(commands.size);
      }
    }
    return [...commands.values(), ...stored.values()];
  };
}

function tooMany(count: number): Problem {
  return new Problem(400, "too-many-bundles", `the manifest carries ${count} or more pieces of evidence`, {
    hint: `attach at most ${MAX_PIECES} in one manifest`,
  });
}

function tooLarge(): Problem {
  return new Problem(400, "too-many-bundles", `the manifest carries more than ${MAX_BROUGHT_BYTES} bytes of evidence`, {
    hint: "attach it in several manifests",
  });
}

async function bring(context: CompanionsContext, { layer, taking, subject }: Attachment): Promise<Brought[]> {
  const size = await context.blobs.size(layer.digest);
  // A layer that is not here makes the registry refuse the manifest, and these commands with it.
  if (size === undefined) return [];
  if (size > MAX_EVIDENCE_BYTES) {
    const reason = `too-large: it has ${size} bytes; evidence has at most ${MAX_EVIDENCE_BYTES}`;
    return [{ piece: unreadablePiece(layer.digest, size, subject, reason), bytes: undefined }];
  }
  const bytes = await context.blobs.readSmall(layer.digest, MAX_EVIDENCE_BYTES);
  switch (taking.as) {
    case "itself":
      return [{ piece: readAttached(bytes, subject), bytes }];
    case "statement":
      return [readAttachedStatement(bytes, subject)];
    case "lines":
      return [...lines(bytes)];
    case "sbom":
      return [readSbom(bytes, taking.predicateType, subject)];
    case "cosign":
      return [cosignPiece(layer, bytes, subject)];
  }
}

/** A layer of cosign 2 with its annotations. Where they make no container together, the layer stays as what cannot be read. */
function cosignPiece(layer: Layer, bytes: Uint8Array, subject: Digest): Brought {
  try {
    const { mediaType, annotations } = layer;
    const wrapped = formatCosignSignature({ mediaType, bytes, annotations });
    return { piece: readAttached(wrapped, subject), bytes: wrapped };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    const reason = `${error.code}: ${error.message}`;
    return { piece: unreadablePiece(layer.digest, bytes.length, subject, reason), bytes };
  }
}

/** The pieces in the lines of a layer. They say themselves what they are about; what does not, or cannot be read, is no evidence. */
function* lines(bytes: Uint8Array): Generator<Brought> {
  for (const line of evidenceLines(bytes)) {
    try {
      yield { piece: readLine(line), bytes: line };
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      // "Consumers MUST ignore lines they do not understand" (in-toto attestation, bundle.md): another tool's line is no fault.
    }
  }
}

async function command(
  context: CompanionsContext & JudgingContext,
  pushed: PushedManifest,
  { tag }: Attachment,
  { piece, bytes }: Brought,
): Promise<Command> {
  const now = Date.now();
  const { signers, provenUnder } = await proveSigners(context, pushed.org, bytes ?? new Uint8Array(0), piece, now);
  const given: Given = {
    ...piece,
    signers,
    repository: pushed.repository,
    source:
      tag === undefined ? { kind: "referrer", manifest: pushed.digest } : { kind: "tag", manifest: pushed.digest, tag },
  };
  return { type: "attestations.add", org: pushed.org, actor: pushed.actor, body: { ...given, provenUnder } };
}
