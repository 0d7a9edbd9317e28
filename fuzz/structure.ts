/**
 * Damage that keeps the frame whole, so that it gets past the frame's reader: one value of a DER, CBOR or OpenPGP structure, of a JSON
 * document, or of what they carry in base64, with all lengths around it written anew.
 */
import { concatBytes, fromBase64, toBase64, utf8Encode } from "../packages/evidence/src/index.ts";
import { derValue } from "../packages/evidence/src/der.ts";
import { type Mutation, spliced } from "./mutations.ts";
import type { Random } from "./random.ts";

/** One value in bytes: where it starts, where its contents do, and where it ends. */
type Part = { readonly start: number; readonly contents: number; readonly end: number };

/** What happens to one value among its siblings: a change within, or another number of it. */
function altered(parts: readonly Uint8Array[], random: Random, within: (part: Uint8Array) => Uint8Array): Uint8Array[] {
  const at = random.below(parts.length);
  const part = parts[at] ?? new Uint8Array();
  const other = random.of(parts);
  const instead = random.of<() => readonly Uint8Array[]>([
    () => [within(part)],
    () => [within(part)],
    () => [within(part)],
    () => [],
    () => [part, part],
    () => [other],
    () => [part, other],
    () => Array.from({ length: random.of([20, 70, 300, 2_000]) }, () => part),
  ])();
  return [...parts.slice(0, at), ...instead, ...parts.slice(at + 1)];
}

/** The values of strict DER that lie side by side; undefined when the bytes are something else. */
function derParts(bytes: Uint8Array): Part[] | undefined {
  const parts: Part[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at + 1];
    if (first === undefined || first > 0x84 || first === 0x80) return undefined;
    const more = first < 0x80 ? 0 : first & 0x7f;
    let length = first < 0x80 ? first : 0;
    for (let i = 0; i < more; i++) length = length * 256 + (bytes[at + 2 + i] ?? 0);
    const contents = at + 2 + more;
    if (contents + length > bytes.length) return undefined;
    parts.push({ start: at, contents, end: contents + length });
    at = contents + length;
  }
  return parts;
}

/** One value of a DER structure altered; also of what octet and bit strings hold. */
export function inDer(mutate: Mutation): Mutation {
  const walk = (bytes: Uint8Array, random: Random, depth: number): Uint8Array => {
    const parts = derParts(bytes);
    if (parts === undefined || parts.length === 0 || depth > 24) return mutate(bytes, random);
    const values = parts.map(({ start, end }) => bytes.subarray(start, end));
    const changed = altered(values, random, (value) => {
      const [part] = derParts(value) ?? [];
      if (part === undefined) return mutate(value, random);
      const tag = random.oneIn(12) ? random.below(256) : (value[0] ?? 0);
      const contents = value.subarray(part.contents);
      // Bit strings begin with a count of unused bits.
      if (tag === 0x03) return derValue(tag, contents.subarray(0, 1), walk(contents.subarray(1), random, depth + 1));
      const goesIn = (tag & 0x20) !== 0 || tag === 0x04;
      const inner = goesIn && !random.oneIn(6) ? walk(contents, random, depth + 1) : mutate(contents, random);
      return random.oneIn(20) ? nested(derValue(tag, inner), random) : derValue(tag, inner);
    });
    return concatBytes(...changed);
  };
  return (bytes, random) => walk(bytes, random, 0);
}

/** Well-formed sequences around a value: lengths and all. */
function nested(value: Uint8Array, random: Random): Uint8Array {
  let around = value;
  for (let times = random.of([1, 17, 40, 200]); times > 0; times--) around = derValue(0x30, around);
  return around;
}

/** Where the CBOR item at `at` ends (RFC 8949); undefined when it does not end. */
function cborEnd(bytes: Uint8Array, at: number, depth = 0): { contents: number; end: number } | undefined {
  const first = bytes[at];
  if (first === undefined || depth > 20) return undefined;
  const info = first & 0x1f;
  if (info > 27) return undefined;
  const more = info < 24 ? 0 : 2 ** (info - 24);
  let count = info < 24 ? info : 0;
  for (let i = 0; i < more; i++) count = count * 256 + (bytes[at + 1 + i] ?? 0);
  const contents = at + 1 + more;
  const major = first >> 5;
  if (major === 2 || major === 3)
    return contents + count > bytes.length ? undefined : { contents, end: contents + count };
  const items = major === 4 ? count : major === 5 ? 2 * count : major === 6 ? 1 : 0;
  let end = contents;
  for (let i = 0; i < items; i++) {
    const next = cborEnd(bytes, end, depth + 1);
    if (next === undefined) return undefined;
    end = next.end;
  }
  return end > bytes.length ? undefined : { contents, end };
}

function cborHead(major: number, count: number): Uint8Array {
  if (count < 24) return Uint8Array.of((major << 5) | count);
  if (count < 256) return Uint8Array.of((major << 5) | 24, count);
  return Uint8Array.of((major << 5) | 25, (count >> 8) & 0xff, count & 0xff);
}

/** One item of a CBOR document altered, the counts around it right; also within byte strings that hold CBOR or DER. */
export function inCbor(mutate: Mutation): Mutation {
  const der = inDer(mutate);
  const walk = (bytes: Uint8Array, random: Random, depth: number): Uint8Array => {
    const ends = cborEnd(bytes, 0);
    const first = bytes[0];
    if (ends === undefined || ends.end !== bytes.length || first === undefined || depth > 20)
      return mutate(bytes, random);
    const major = first >> 5;
    if (major === 2 || major === 3) {
      const contents = bytes.subarray(ends.contents);
      const isDer = contents[0] === 0x30;
      const inner = random.oneIn(4) ? mutate(contents, random) : (isDer ? der : walk)(contents, random, depth + 1);
      return concatBytes(cborHead(major, inner.length), inner);
    }
    if (major < 4 || major === 7) return mutate(bytes, random);
    const items: Uint8Array[] = [];
    for (let at = ends.contents; at < bytes.length; ) {
      const { end } = cborEnd(bytes, at) ?? { end: bytes.length };
      items.push(bytes.subarray(at, end));
      at = end;
    }
    if (items.length === 0) return mutate(bytes, random);
    const changed = altered(items, random, (item) => walk(item, random, depth + 1));
    const head =
      major === 6
        ? bytes.subarray(0, ends.contents)
        : cborHead(major, major === 5 ? changed.length >> 1 : changed.length);
    return concatBytes(head, ...changed);
  };
  return (bytes, random) => walk(bytes, random, 0);
}

/** A length of OpenPGP's new format (RFC 9580 §4.2.1), in one of the ways to write it. */
function pgpLength(length: number, random: Random): Uint8Array {
  if (random.oneIn(8)) return Uint8Array.of(255, 0, 0, (length >> 8) & 0xff, length & 0xff);
  if (length < 192) return Uint8Array.of(length);
  if (length < 8384) return Uint8Array.of(((length - 192) >> 8) + 192, (length - 192) & 0xff);
  return Uint8Array.of(255, 0, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff);
}

function pgpPackets(bytes: Uint8Array): { tag: number; body: Uint8Array }[] | undefined {
  const packets: { tag: number; body: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [head = 0, one = 0, two = 0] = bytes.subarray(at, at + 3);
    if ((head & 0xc0) !== 0xc0) return undefined;
    const isShort = one < 192;
    if (!isShort && one >= 224) return undefined;
    const contents = at + (isShort ? 2 : 3);
    const length = isShort ? one : ((one - 192) << 8) + two + 192;
    if (contents + length > bytes.length) return undefined;
    packets.push({ tag: head & 0x3f, body: bytes.subarray(contents, contents + length) });
    at = contents + length;
  }
  return packets;
}

/** One OpenPGP packet altered; of a signature of version 4 also one subpacket of either area. */
export function inPackets(mutate: Mutation): Mutation {
  const area = (bytes: Uint8Array, random: Random): Uint8Array => {
    const subpackets: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes[at] ?? 0;
      subpackets.push(bytes.subarray(at + 1, at + 1 + length));
      at += 1 + length;
    }
    if (subpackets.length === 0) return mutate(bytes, random);
    const changed = altered(subpackets, random, (subpacket) =>
      random.oneIn(4) && subpacket.length > 0 ? subpacket.with(0, random.below(256)) : mutate(subpacket, random),
    );
    return concatBytes(...changed.flatMap((subpacket) => [pgpLength(subpacket.length, random), subpacket]));
  };
  const signature = (body: Uint8Array, random: Random): Uint8Array => {
    if (body[0] !== 4 || random.oneIn(3)) return mutate(body, random);
    const hashed = ((body[4] ?? 0) << 8) | (body[5] ?? 0);
    const after = 6 + hashed;
    const unhashed = ((body[after] ?? 0) << 8) | (body[after + 1] ?? 0);
    const areas = [body.subarray(6, after), body.subarray(after + 2, after + 2 + unhashed)];
    const [first = new Uint8Array(), second = new Uint8Array()] = random.oneIn(2)
      ? [area(areas[0] ?? new Uint8Array(), random), areas[1]]
      : [areas[0], area(areas[1] ?? new Uint8Array(), random)];
    const count = ({ length }: Uint8Array): Uint8Array => Uint8Array.of((length >> 8) & 0xff, length & 0xff);
    return concatBytes(
      body.subarray(0, 4),
      count(first),
      first,
      count(second),
      second,
      body.subarray(after + 2 + unhashed),
    );
  };
  return (bytes, random) => {
    const packets = pgpPackets(bytes);
    if (packets === undefined || packets.length === 0) return mutate(bytes, random);
    const written = packets.map(({ tag, body }) =>
      concatBytes(Uint8Array.of(0xc0 | tag), pgpLength(body.length, random), body),
    );
    return concatBytes(
      ...altered(written, random, (packet) => {
        const [one] = pgpPackets(packet) ?? [];
        if (one === undefined) return mutate(packet, random);
        const body = one.tag === 2 ? signature(one.body, random) : mutate(one.body, random);
        const tag = random.oneIn(12) ? random.below(64) : one.tag;
        return concatBytes(Uint8Array.of(0xc0 | tag), pgpLength(body.length, random), body);
      }),
    );
  };
}

/** Runs of base64 in a text, also broken into lines as PEM and armour are. */
const BASE64 = /[A-Za-z0-9+/_-]{12,}(?:\n[A-Za-z0-9+/_-]+)*={0,2}/g;

/** What one run of base64 holds altered, and encoded again in the same alphabet; the text around it is as it was. */
export function inBase64(mutate: Mutation): Mutation {
  return (bytes, random) => {
    const text = Buffer.from(bytes).toString("latin1");
    const found = [...text.matchAll(BASE64)];
    if (found.length === 0) return mutate(bytes, random);
    const { 0: run, index } = random.of(found);
    const isUrl = /[-_]/.test(run) || !(run.endsWith("=") || run.length % 4 === 0 || run.includes("\n"));
    let decoded: Uint8Array;
    try {
      decoded = isUrl ? Buffer.from(run, "base64url") : fromBase64(run.replaceAll("\n", ""));
    } catch {
      // A word, and no base64.
      return mutate(bytes, random);
    }
    const changed = mutate(decoded, random);
    const encoded = isUrl ? Buffer.from(changed).toString("base64url") : toBase64(changed);
    const lines = run.includes("\n") ? (encoded.match(/.{1,64}/g) ?? []).join("\n") : encoded;
    return spliced(bytes, index, run.length, Buffer.from(lines, "latin1"));
  };
}

/** Values that JSON documents are not expected to hold. */
const STRANGE: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  2 ** 53,
  "",
  "0",
  "\u0000",
  "\ud800",
  [],
  {},
  [[]],
  JSON.parse('{"__proto__":{"toString":1}}'),
  "constructor",
  "x".repeat(5_000),
];

/** One value of a JSON document altered, dropped, repeated, renamed or given another type. */
export const inJson: Mutation = (bytes, random) => {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return bytes;
  }
  const walk = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null || random.oneIn(8)) return random.of(STRANGE);
    if (Array.isArray(value)) {
      if (value.length === 0) return [random.of(STRANGE)];
      const at = random.below(value.length);
      const times = random.of([0, 1, 1, 1, 2, 40, 3_000]);
      return value.flatMap((item: unknown, i) =>
        i !== at ? [item] : times === 1 ? [walk(item)] : Array.from({ length: times }, () => item),
      );
    }
    const members = Object.entries(value);
    if (members.length === 0) return random.of(STRANGE);
    const at = random.below(members.length);
    const kind = random.below(8);
    const changed = members.flatMap(([name, item], i): [string, unknown][] => {
      if (i !== at) return [[name, item]];
      if (kind === 0) return [];
      if (kind === 1) return [[random.of(["__proto__", "constructor", "", name.toUpperCase(), "x"]), item]];
      if (kind === 2) return [[name, random.of(members)[1]]];
      return [[name, walk(item)]];
    });
    // Not Object.fromEntries and JSON.stringify: a member may be called __proto__.
    return Object.defineProperties(
      {},
      Object.fromEntries(changed.map(([name, item]) => [name, { value: item, enumerable: true }])),
    );
  };
  const text = JSON.stringify(walk(json)) ?? "";
  return text.length > 64 * 1024 ? bytes : utf8Encode(text.isWellFormed() ? text : text.toWellFormed());
};
