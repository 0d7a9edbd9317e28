/**
 * Packets as a sequence of tags and bodies: RFC 9580 §4.2. Only what signatures and certificates need: packets of known length. Partial and
 * indeterminate lengths are for data packets (§4.2.1.4, §4.2.2) and are refused.
 */
import { EvidenceError, LIMITS } from "../src/index.ts";

export const TAG_SIGNATURE = 2;
export const TAG_PUBLIC_KEY = 6;
export const TAG_TRUST = 12;
export const TAG_USER_ID = 13;
export const TAG_PUBLIC_SUBKEY = 14;
export const TAG_USER_ATTRIBUTE = 17;
export const TAG_MARKER = 10;
export const TAG_PADDING = 21;

export type Packet = { readonly tag: number; readonly body: Uint8Array };

/** A cursor over bytes from outside. Every read checks that the bytes are there, and throws `openpgp-invalid` if not. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** A big-endian number of `size` bytes, at most four. */
  number(size: 1 | 2 | 4): number {
    let value = 0;
    for (const byte of this.bytes(size)) value = value * 256 + byte;
    return value;
  }

  bytes(size: number): Uint8Array {
    if (size > this.left)
      throw new EvidenceError("openpgp-invalid", "An OpenPGP structure ends before its last field.");
    const found = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return found;
  }

  rest(): Uint8Array {
    return this.bytes(this.left);
  }
}

/** All packets of `bytes`. Throws `openpgp-invalid`, `too-large` when there are more than `most`. */
export function readPackets(bytes: Uint8Array, most: number): Packet[] {
  if (bytes.length > LIMITS.openPgpBytes)
    throw new EvidenceError("too-large", "There are too many bytes of OpenPGP packets.");
  const reader = new ByteReader(bytes);
  const packets: Packet[] = [];
  while (reader.left > 0) {
    if (packets.length >= most) throw new EvidenceError("too-large", `There are more than ${most} OpenPGP packets.`);
    packets.push(readPacket(reader));
  }
  return packets;
}

function readPacket(reader: ByteReader): Packet {
  const head = reader.number(1);
  if ((head & 0x80) === 0)
    throw new EvidenceError("openpgp-invalid", "Where an OpenPGP packet should begin is something else.");
  if ((head & 0x40) !== 0) return { tag: head & 0x3f, body: reader.bytes(readLength(reader)) };
  const tag = (head >> 2) & 0x0f;
  switch (head & 3) {
    case 0:
      return { tag, body: reader.bytes(reader.number(1)) };
    case 1:
      return { tag, body: reader.bytes(reader.number(2)) };
    case 2:
      return { tag, body: reader.bytes(reader.number(4)) };
    default:
      throw new EvidenceError("openpgp-invalid", "An OpenPGP packet has no length.");
  }
}

/** A length of the new format (§4.2.1), whole ones only. Subpackets have it too (§5.2.3.7), where 224 to 254 belong to two bytes. */
function readLength(reader: ByteReader): number {
  const first = reader.number(1);
  if (first < 192) return first;
  if (first < 224) return ((first - 192) << 8) + reader.number(1) + 192;
  if (first === 255) return reader.number(4);
  throw new EvidenceError("openpgp-invalid", "An OpenPGP packet comes in parts.");
}

/** The length of a subpacket: §5.2.3.7. */
export function readSubpacketLength(reader: ByteReader): number {
  const first = reader.number(1);
  if (first < 192) return first;
  if (first < 255) return ((first - 192) << 8) + reader.number(1) + 192;
  return reader.number(4);
}
