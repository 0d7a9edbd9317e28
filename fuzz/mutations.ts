/** Damage that knows nothing of what the bytes mean: bits, runs, tokens, numbers, splices, repetition. */
import { concatBytes } from "../packages/evidence/src/index.ts";
import type { Random } from "./random.ts";

/** Bytes of the largest input: what a hostile sender sends cheaply. */
export const MOST_BYTES = 64 * 1024;

export type Mutation = (bytes: Uint8Array, random: Random) => Uint8Array;

/** `bytes` with the run from `at` of `length` bytes replaced. */
export function spliced(bytes: Uint8Array, at: number, length: number, ...by: Uint8Array[]): Uint8Array {
  return concatBytes(bytes.subarray(0, at), ...by, bytes.subarray(at + length));
}

/** A run of the bytes: short ones mostly, as fields are. */
function run(bytes: Uint8Array, random: Random): { at: number; length: number } {
  const at = random.below(bytes.length + 1);
  const most = Math.min(bytes.length - at, random.oneIn(4) ? MOST_BYTES : 16);
  return { at, length: random.below(most + 1) };
}

/** Lengths, counts and heads that are the edges of some format: of a byte, a word, a signed number, DER, CBOR, OpenPGP. */
const EDGES: readonly (readonly number[])[] = [
  [0],
  [1],
  [0x7f],
  [0x80],
  [0xff],
  [0x7f, 0xff],
  [0xff, 0xff],
  [0x81, 0x7f],
  [0x81, 0xff],
  [0x82, 0xff, 0xff],
  [0x83, 0xff, 0xff, 0xff],
  [0x84, 0x7f, 0xff, 0xff, 0xff],
  [0x84, 0xff, 0xff, 0xff, 0xff],
  [0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff, 0xff],
  [0x9a, 0xff, 0xff, 0xff, 0xff],
  [0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x9f],
  [0xbf],
  [0x5f],
  [0xe1],
  [0xfe],
];

/** Openings that nest, in the formats that nest. */
const OPENINGS: readonly (readonly number[])[] = [
  [0x5b], // [
  [0x7b, 0x22, 0x61, 0x22, 0x3a], // {"a":
  [0x30, 0x80],
  [0x30, 0x82, 0xff, 0xff],
  [0xa0, 0x84, 0x7f, 0xff, 0xff, 0xff],
  [0x81],
  [0xa1, 0x01],
  [0xd8, 0x18],
  [0x2d, 0x20], // "- " of YAML
  [0x61, 0x3a, 0x0a, 0x20], // "a:\n "
];

function repeated(unit: Uint8Array, times: number): Uint8Array {
  const most = Math.floor(MOST_BYTES / Math.max(1, unit.length));
  return concatBytes(...Array.from({ length: Math.min(times, most) }, () => unit));
}

export const GENERIC: readonly Mutation[] = [
  // A bit, a byte.
  (bytes, random) => {
    if (bytes.length === 0) return bytes;
    const at = random.below(bytes.length);
    return bytes.with(at, (bytes[at] ?? 0) ^ (1 << random.below(8)));
  },
  (bytes, random) => (bytes.length === 0 ? bytes : bytes.with(random.below(bytes.length), random.below(256))),
  // A number at the edge of its range, over what is there or between it.
  (bytes, random) => {
    const edge = Uint8Array.from(random.of(EDGES));
    return spliced(bytes, random.below(bytes.length + 1), random.oneIn(2) ? edge.length : 0, edge);
  },
  // A run dropped, repeated once or often, moved, or noise.
  (bytes, random) => {
    const { at, length } = run(bytes, random);
    return spliced(bytes, at, length);
  },
  (bytes, random) => {
    const { at, length } = run(bytes, random);
    const times = random.of([1, 2, 3, 10, 100, 5_000]);
    return spliced(bytes, at, 0, repeated(bytes.subarray(at, at + length), times));
  },
  (bytes, random) => {
    const { at, length } = run(bytes, random);
    const rest = spliced(bytes, at, length);
    return spliced(rest, random.below(rest.length + 1), 0, bytes.subarray(at, at + length));
  },
  (bytes, random) => {
    const noise = Uint8Array.from({ length: 1 + random.below(12) }, () => random.below(256));
    return spliced(bytes, random.below(bytes.length + 1), random.below(3), noise);
  },
  // Cut off.
  (bytes, random) => bytes.subarray(0, random.below(bytes.length + 1)),
  // Nested: openings without an end.
  (bytes, random) => {
    const opening = Uint8Array.from(random.of(OPENINGS));
    const times = random.of([1, 16, 33, 200, 5_000, 60_000]);
    return spliced(bytes, random.oneIn(2) ? 0 : random.below(bytes.length + 1), 0, repeated(opening, times));
  },
];

/** A token of the format's dictionary, over what is there or between it. */
export function withToken(bytes: Uint8Array, token: Uint8Array, random: Random): Uint8Array {
  return spliced(bytes, random.below(bytes.length + 1), random.oneIn(2) ? token.length : 0, token);
}

/** The beginning of one input and the end of another. */
export function crossed(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  return concatBytes(bytes.subarray(0, random.below(bytes.length + 1)), other.subarray(random.below(other.length + 1)));
}
