import { setImmediate } from "node:timers/promises";
import type { Readable } from "node:stream";
import { type ArtifactSource, type Digest, LIMITS, type ReadingTerms } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import type { BlobStore } from "../storage/blobs.ts";
import { artifactReadings, ReadingAllowance, type Readings, readingsAside } from "./artifact-readings.ts";
import type { EvidenceForm } from "./piece.ts";

/**
 * The largest artifact whose bytes are read to judge a signature over them, in bytes. Most signatures are over the digest and need none;
 * one that needs more is refused as `bytes-needed`, and is verified by whoever has the artifact at hand.
 */
export const MAX_ARTIFACT_BYTES = LIMITS.messageBytes;

/** Artifacts up to this many bytes are read whenever they are asked for: they should not wait behind large ones. */
const SMALL_BYTES = 1024 * 1024;

/** Bytes that are hashed, in all the ways that are asked for, before others have their turn: some ten milliseconds at most. */
const PIECE = 256 * 1024;

/** How long one reading may take, ms: 256 MiB at 4.5 MB a second. Others wait while it lasts. */
const READING_MS = 60_000;

/** Where the bytes of artifacts are. */
export interface ArtifactBytes {
  readonly blobs: Pick<BlobStore, "read" | "readSmall">;
  /**
   * The size of an artifact that the organisation holds; undefined when it holds none of that digest. That the store has the bytes is not
   * enough: they may be another tenant's, and a verdict over them would tell.
   *
   * A hook: absent, no organisation holds anything, and what needs the bytes is refused.
   */
  readonly artifactSize?: (org: string, digest: Digest) => Promise<number | undefined>;
  /** The process's own where absent. */
  readonly readings?: Readings;
  /** How long one reading may take, ms; {@link READING_MS} where absent. */
  readonly readingMs?: number;
}

/** What judging is given: made anew for each request, by {@link withinOneRequest} or {@link foreseeing}. */
export interface JudgingContext extends ArtifactBytes {
  readonly allowance: ReadingAllowance;
}

/** A context for what one request judges, however many pieces that are: what they may cost together is bounded. */
export function withinOneRequest<C extends ArtifactBytes>(context: C): C & JudgingContext {
  return { ...context, allowance: new ReadingAllowance() };
}

/** The same for what a request only foresees: it leaves nothing behind in what is remembered. */
export function foreseeing<C extends ArtifactBytes>(context: C): C & JudgingContext {
  return { ...withinOneRequest(context), readings: readingsAside(context.readings ?? artifactReadings) };
}

/** The artifact's bytes for evidence of a form that may need them; undefined when it does not, or when they are not to be had. */
export async function artifactSource(
  { blobs, artifactSize, allowance, readings = artifactReadings, readingMs = READING_MS }: JudgingContext,
  org: string,
  artifact: Digest,
  form: EvidenceForm,
): Promise<ArtifactSource | undefined> {
  if (form !== "message-signature" && form !== "openpgp") return undefined;
  const size = await artifactSize?.(org, artifact);
  if (size === undefined || size > MAX_ARTIFACT_BYTES) return undefined;
  const terms: ReadingTerms = {
    recall: (name) => readings.recall(org, name),
    remember: (name, hashed) => readings.remember(org, name, hashed),
    affords: (bytes) => allowance.affords(bytes),
    take: (bytes) => allowance.take(bytes),
    turn: (reading) => (size <= SMALL_BYTES ? reading() : readings.turn(org, reading)),
  };
  return {
    size,
    read: () => inPieces(within(readingMs, () => blobs.read(artifact))),
    altered: () => new ServerError("blob-digest-mismatch", `the store holds other bytes than those of ${artifact}`),
    terms,
  };
}

/**
 * A stream's chunks, as long as they all come within some time, opening it included: nobody's turn may last for ever.
 *
 * @throws ServerError `artifacts-busy` when they do not; the stream is destroyed.
 */
async function* within(ms: number, open: () => Promise<Readable>): AsyncGenerator<Uint8Array> {
  const deadline = new AbortController();
  const { signal } = deadline;
  const expiry = setTimeout(() => deadline.abort(tooSlow()), ms);
  const opening = open();
  const late = new Promise<never>((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      reject(tooSlow());
      // Also a stream that opens only now. That it does not open at all has been said by then.
      opening.then((stream) => stream.destroy()).catch(() => undefined);
    });
  });
  try {
    for await (const chunk of await Promise.race([opening, late])) yield chunk as Uint8Array;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(expiry);
  }
}

/** The same bytes in pieces, after each of which others have their turn. */
async function* inPieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; from += PIECE) {
      yield chunk.subarray(from, from + PIECE);
      await setImmediate();
    }
  }
}

function tooSlow(): ServerError {
  return new ServerError("artifacts-busy", "reading an artifact to judge a signature over it took too long", {
    hint: "try again in a moment",
  });
}
