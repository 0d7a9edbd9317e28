/**
 * Bytes of an upload, kept as one object. Its name says where its bytes stand, how many they are and what they hash to, so that the
 * listing of an upload's objects *is* the upload's state: any host can read it, and a name never stands for other bytes.
 */
export interface Segment {
  readonly start: number;
  readonly length: number;
  /** SHA-256 of its bytes, lower hex. */
  readonly sha256: string;
}

/** Largest segment, bytes. Two of them are in memory per upload: one being filled, one on its way. */
export const SEGMENT_BYTES = 8 * 1024 * 1024;

/** Smallest part of a multipart upload but for its last (S3 user guide, "Multipart upload limits"). */
export const MIN_PART_BYTES = 5 * 1024 * 1024;

/** Most parts of a multipart upload. */
export const MAX_PARTS = 10_000;

/** Largest upload that {@link planParts} is sure to find parts for. */
export const MAX_UPLOAD_BYTES = MAX_PARTS * SEGMENT_BYTES;

const NAME = /^(\d{15})-(\d{1,8})-([0-9a-f]{64})$/;

export function segmentName(segment: Segment): string {
  return `${String(segment.start).padStart(15, "0")}-${segment.length}-${segment.sha256}`;
}

/** Reads a segment's name. @returns undefined for what is none, or was listed with another size than its name says (torn). */
export function parseSegment(name: string, listedSize: number): Segment | undefined {
  const match = NAME.exec(name);
  if (match?.[3] === undefined) return undefined;
  const segment = { start: Number(match[1]), length: Number(match[2]), sha256: match[3] };
  return segment.length === listedSize && segment.length > 0 && segment.length <= SEGMENT_BYTES ? segment : undefined;
}

/** Bytes of a chain. */
export function chainSize(chain: readonly Segment[]): number {
  const last = chain.at(-1);
  return last === undefined ? 0 : last.start + last.length;
}

/**
 * The upload that a set of segments means: from byte 0 on, each beginning where the one before ends. Of several that begin at the same
 * place the longest counts (a truncation under way leaves the shortened one beside the one it replaces); two different ones of the same
 * length were written by two hosts at once, so neither counts and the upload ends before them. What is not in the chain is garbage.
 */
export function chainOf(segments: readonly Segment[]): Segment[] {
  const byStart = new Map<number, Segment[]>();
  for (const segment of segments) {
    const there = byStart.get(segment.start);
    if (there === undefined) byStart.set(segment.start, [segment]);
    else there.push(segment);
  }
  const chain: Segment[] = [];
  for (let at = 0; ; ) {
    const candidates = (byStart.get(at) ?? []).toSorted((one, other) => other.length - one.length);
    const [longest, next] = candidates;
    if (longest === undefined || longest.length === next?.length) return chain;
    chain.push(longest);
    at += longest.length;
  }
}

/** Whether two chains are the same bytes in the same pieces. */
export function sameChain(one: readonly Segment[], other: readonly Segment[]): boolean {
  return (
    one.length === other.length &&
    one.every((segment, index) => {
      const twin = other[index];
      return twin?.start === segment.start && twin.length === segment.length && twin.sha256 === segment.sha256;
    })
  );
}

/** A part of the blob to be: one segment copied on the server, or several read and sent again as one. */
export type PartPlan =
  | { readonly kind: "copy"; readonly segment: Segment }
  | { readonly kind: "send"; readonly segments: readonly Segment[] };

/** Most bytes of a part that passes through memory. */
const SEND_BYTES = 2 * SEGMENT_BYTES;

/**
 * Divides a chain into parts that S3 takes: at most {@link MAX_PARTS}, each but the last of at least {@link MIN_PART_BYTES}.
 *
 * @param canCopy whether the server copies parts; what is too small to be a part is sent in any case.
 */
export function planParts(chain: readonly Segment[], canCopy: boolean): PartPlan[] {
  const parts: PartPlan[] = [];
  let waiting: Segment[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (waiting.length > 0) parts.push({ kind: "send", segments: waiting });
    waiting = [];
    bytes = 0;
  };
  for (const [index, segment] of chain.entries()) {
    const whole = segment.length >= MIN_PART_BYTES || index === chain.length - 1;
    if (bytes + segment.length > SEND_BYTES || (canCopy && whole && bytes >= MIN_PART_BYTES)) flush();
    if (canCopy && whole && bytes === 0) {
      parts.push({ kind: "copy", segment });
    } else {
      waiting.push(segment);
      bytes += segment.length;
    }
  }
  flush();
  return parts.length > MAX_PARTS && canCopy ? planParts(chain, false) : parts;
}
