/**
 * Signed packages of rpm: a lead, a signature header, the header, the payload (rpm's docs/manual/format_v4.md). Signatures are of the header
 * alone, which holds the payload's digest, or, in old packages, of header and payload.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { EvidenceError, fromBase64, type OpenPgpRequest, type OpenPgpResult, toHex } from "../../src/index.ts";
import { ByteReader } from "../packets.ts";
import { verify } from "../verify.ts";

export type RpmSignature = {
  /** Number of its tag in the signature header. */
  readonly tag: number;
  /** Signature packets, binary. */
  readonly signature: Uint8Array;
  /** The bytes that it is over. */
  readonly document: Uint8Array;
  readonly covers: "header" | "header-and-payload";
};

export type Rpm = {
  readonly signatures: readonly RpmSignature[];
  /** Lower-case hex SHA-256 of the compressed payload as the header states it; null if it states none. */
  readonly payloadDigest: string | null;
  /** The compressed payload. */
  readonly payload: Uint8Array;
};

const LEAD = 96;
/** Bytes and entries of one header: rpm's own limits (lib/header.c). */
const HEADER_BYTES = 256 * 1024 * 1024;
const HEADER_ENTRIES = 0xffff;

const RSA_HEADER = 268;
const DSA_HEADER = 267;
/** rpm 4.20 and later: strings of base64, any number of signatures of any version. */
const OPENPGP = 278;
const PGP = 1002;
const GPG = 1005;
const PAYLOAD_DIGEST = 5092;
const PAYLOAD_DIGEST_ALGORITHM = 5093;
const SHA256 = 8;

const TYPE_INT32 = 4;
const TYPE_STRING = 6;
const TYPE_BIN = 7;
const TYPE_STRING_ARRAY = 8;

/** Takes a package apart. Nothing is verified. Throws `openpgp-invalid`, `too-large`. */
export function readRpm(file: Uint8Array): Rpm {
  if (toHex(file.subarray(0, 4)) !== "edabeedb")
    throw new EvidenceError("openpgp-invalid", "The file is no rpm package.");
  const reader = new ByteReader(file);
  reader.bytes(LEAD);
  const signatureHeader = readHeader(reader);
  reader.bytes((8 - (signatureHeader.bytes.length % 8)) % 8);
  const start = reader.at;
  const header = readHeader(reader);
  const payload = reader.rest();
  const signatures: RpmSignature[] = [];
  const both = file.subarray(start);
  for (const tag of [RSA_HEADER, DSA_HEADER, PGP, GPG]) {
    const signature = signatureHeader.binary(tag);
    if (signature === undefined) continue;
    const ofBoth = tag === PGP || tag === GPG;
    signatures.push({
      tag,
      signature,
      document: ofBoth ? both : header.bytes,
      covers: ofBoth ? "header-and-payload" : "header",
    });
  }
  for (const text of signatureHeader.strings(OPENPGP) ?? []) {
    signatures.push({ tag: OPENPGP, signature: base64(text), document: header.bytes, covers: "header" });
  }
  const algorithm = header.int32(PAYLOAD_DIGEST_ALGORITHM);
  const [digest] = header.strings(PAYLOAD_DIGEST) ?? [];
  return { signatures, payloadDigest: algorithm === SHA256 ? (digest ?? null) : null, payload };
}

/**
 * Whether one of the certificates signed the whole package: by a signature of the header that names the payload's SHA-256, or one of header
 * and payload. A good signature of a header that does not name its payload is refused: the payload could be any.
 */
export async function verifyRpm(
  file: Uint8Array,
  request: Pick<OpenPgpRequest, "certificates" | "times">,
): Promise<OpenPgpResult> {
  let rpm: Rpm;
  try {
    rpm = readRpm(file);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return refused("malformed", "rpm-format", error.message);
  }
  const { signatures, payloadDigest, payload } = rpm;
  const holds = payloadDigest === toHex(sha256(payload));
  let miss: OpenPgpResult = refused("malformed", "rpm-signature", "The package is not signed.");
  for (const { signature, document, covers } of signatures) {
    const result = await verify({ ...request, signature, document });
    if (result.outcome === "good") {
      if (covers === "header-and-payload" || holds) return result;
      miss = refused(
        "subject-mismatch",
        "rpm-payload",
        "The signed header does not name the SHA-256 digest of this payload.",
      );
    } else if (miss.outcome === "bad" && miss.code !== "subject-mismatch") {
      miss = result;
    }
  }
  return miss;
}

function refused(code: "malformed" | "subject-mismatch", check: string, message: string): OpenPgpResult {
  return { outcome: "bad", code, message, steps: [{ check, outcome: "failed", detail: message }] };
}

function base64(text: string): Uint8Array {
  try {
    return fromBase64(text.replaceAll(/[\r\n]/g, ""));
  } catch (cause) {
    throw new EvidenceError("openpgp-invalid", "A signature of the package is not in base64.", { cause });
  }
}

type Entry = { readonly type: number; readonly offset: number; readonly count: number };

class Header {
  /** The whole header, as it is signed. */
  readonly bytes: Uint8Array;
  readonly #entries: ReadonlyMap<number, Entry>;
  readonly #store: Uint8Array;

  constructor(bytes: Uint8Array, entries: ReadonlyMap<number, Entry>, store: Uint8Array) {
    this.bytes = bytes;
    this.#entries = entries;
    this.#store = store;
  }

  binary(tag: number): Uint8Array | undefined {
    const entry = this.#entry(tag, [TYPE_BIN]);
    return entry && this.#reader(entry).bytes(entry.count);
  }

  int32(tag: number): number | undefined {
    const entry = this.#entry(tag, [TYPE_INT32]);
    return entry && this.#reader(entry).number(4);
  }

  /** The texts of a tag: ASCII, each ending in a zero byte. */
  strings(tag: number): string[] | undefined {
    const entry = this.#entry(tag, [TYPE_STRING, TYPE_STRING_ARRAY]);
    if (entry === undefined) return undefined;
    if (entry.count > 64)
      throw new EvidenceError("too-large", "The package's header has too many texts under one tag.");
    const texts: string[] = [];
    let at = entry.offset;
    for (let i = 0; i < entry.count; i++) {
      const end = this.#store.indexOf(0, at);
      if (end < 0 || end - at > 64 * 1024)
        throw new EvidenceError("openpgp-invalid", "A text of the package's header does not end.");
      texts.push(new TextDecoder().decode(this.#store.subarray(at, end)));
      at = end + 1;
    }
    return texts;
  }

  #entry(tag: number, types: readonly number[]): Entry | undefined {
    const entry = this.#entries.get(tag);
    if (entry === undefined) return undefined;
    if (!types.includes(entry.type))
      throw new EvidenceError("openpgp-invalid", `Tag ${tag} of the package is of a wrong type.`);
    return entry;
  }

  #reader({ offset }: Entry): ByteReader {
    if (offset > this.#store.length)
      throw new EvidenceError("openpgp-invalid", "A header of the package points outside itself.");
    return new ByteReader(this.#store.subarray(offset));
  }
}

/** One header structure: magic, counts, an index of entries, a store. A tag twice is refused: readers pick different ones. */
function readHeader(reader: ByteReader): Header {
  const head = reader.bytes(16);
  const fields = new ByteReader(head);
  if (toHex(fields.bytes(4)) !== "8eade801")
    throw new EvidenceError("openpgp-invalid", "A header of the package does not begin.");
  fields.bytes(4);
  const count = fields.number(4);
  const size = fields.number(4);
  if (count > HEADER_ENTRIES || size > HEADER_BYTES)
    throw new EvidenceError("too-large", "A header of the package is too large.");
  const index = reader.bytes(count * 16);
  const store = reader.bytes(size);
  const entries = new Map<number, Entry>();
  const indexReader = new ByteReader(index);
  for (let i = 0; i < count; i++) {
    const tag = indexReader.number(4);
    const entry = { type: indexReader.number(4), offset: indexReader.number(4), count: indexReader.number(4) };
    if (entries.has(tag)) throw new EvidenceError("openpgp-invalid", `The package's header has tag ${tag} twice.`);
    entries.set(tag, entry);
  }
  const bytes = new Uint8Array(head.length + index.length + store.length);
  bytes.set(head);
  bytes.set(index, head.length);
  bytes.set(store, head.length + index.length);
  return new Header(bytes, entries, store);
}
