/**
 * SIGNATURE packets of versions 3 (RFC 4880 §5.2.2), 4 and 6 (RFC 9580 §5.2.3). The library has no version 3, drops what it cannot read
 * without a word, and shows neither area of subpackets whole; so packets are read here, and the library is given only numbers to check.
 */
import { EvidenceError, LIMITS, toHex } from "../src/index.ts";
import { signatureForm } from "./algorithms.ts";
import { ByteReader } from "./packets.ts";
import { readStatements, readSubpackets, type Statements } from "./subpackets.ts";

export type SignaturePacket = Statements & {
  readonly version: 3 | 4 | 6;
  /** RFC 9580 §5.2.1. */
  readonly type: number;
  readonly publicKeyAlgorithm: number;
  /** Number of the hash algorithm. */
  readonly hash: number;
  /** What is hashed behind the data (§5.2.4): the signature's own covered fields and the trailer. */
  readonly trailer: Uint8Array;
  /** What is hashed before the data; empty before version 6. */
  readonly salt: Uint8Array;
  /** The first two bytes of the digest. */
  readonly digestStart: Uint8Array;
  /** The signature's numbers, as written; their form is that of the public-key algorithm. */
  readonly numbers: Uint8Array;
  /** The whole body. */
  readonly body: Uint8Array;
};

/** Reads the body of a SIGNATURE packet. Throws `openpgp-invalid`, `openpgp-unsupported`, `too-large`. */
export function readSignaturePacket(body: Uint8Array): SignaturePacket {
  if (body.length > LIMITS.openPgpSignatureBytes)
    throw new EvidenceError("too-large", "An OpenPGP signature is too large.");
  const reader = new ByteReader(body);
  const version = reader.number(1);
  switch (version) {
    case 3:
      return readOld(reader, body);
    case 4:
    case 6:
      return readNew(reader, body, version);
    default:
      throw new EvidenceError("openpgp-unsupported", `OpenPGP signatures of version ${version} are not supported.`);
  }
}

function readOld(reader: ByteReader, body: Uint8Array): SignaturePacket {
  if (reader.number(1) !== 5)
    throw new EvidenceError("openpgp-invalid", "A version 3 signature hashes other than 5 bytes.");
  const trailer = reader.bytes(5);
  const fields = new ByteReader(trailer);
  const type = fields.number(1);
  const created = fields.number(4);
  const issuer = toHex(reader.bytes(8));
  const publicKeyAlgorithm = reader.number(1);
  const hash = reader.number(1);
  return {
    version: 3,
    type,
    publicKeyAlgorithm,
    hash,
    trailer,
    salt: new Uint8Array(0),
    digestStart: reader.bytes(2),
    numbers: readNumbers(reader, publicKeyAlgorithm),
    body,
    created,
    expires: null,
    keyExpires: null,
    keyFlags: null,
    revocationReason: null,
    revokers: [],
    issuerIds: [issuer],
    issuerFingerprints: [],
    embedded: [],
    critical: null,
  };
}

function readNew(reader: ByteReader, body: Uint8Array, version: 4 | 6): SignaturePacket {
  const type = reader.number(1);
  const publicKeyAlgorithm = reader.number(1);
  const hash = reader.number(1);
  const size = version === 6 ? 4 : 2;
  const hashed = readSubpackets(reader.bytes(reader.number(size)), true);
  const covered = body.subarray(0, reader.at);
  const unhashed = readSubpackets(reader.bytes(reader.number(size)), false);
  const digestStart = reader.bytes(2);
  const salt = version === 6 ? reader.bytes(reader.number(1)) : new Uint8Array(0);
  const trailer = new Uint8Array(covered.length + 6);
  trailer.set(covered);
  trailer.set([version, 0xff], covered.length);
  new DataView(trailer.buffer).setUint32(covered.length + 2, covered.length);
  return {
    ...readStatements([...hashed, ...unhashed]),
    version,
    type,
    publicKeyAlgorithm,
    hash,
    trailer,
    salt,
    digestStart,
    numbers: readNumbers(reader, publicKeyAlgorithm),
    body,
  };
}

/**
 * The rest of a signature: the numbers of its algorithm and nothing else. An MPI (RFC 9580 §3.2) must be written in its one way, so that
 * there is one spelling of a signature.
 */
function readNumbers(reader: ByteReader, algorithm: number): Uint8Array {
  const form = signatureForm(algorithm);
  if (form === undefined) {
    throw new EvidenceError(
      "openpgp-unsupported",
      `Public-key algorithm ${algorithm} is no signature algorithm known here.`,
    );
  }
  const numbers = reader.rest();
  const rest = new ByteReader(numbers);
  if ("bytes" in form) {
    rest.bytes(form.bytes);
  } else {
    for (let i = 0; i < form.mpis; i++) {
      const bits = rest.number(2);
      const [first] = rest.bytes(Math.ceil(bits / 8));
      if (first === undefined || 32 - Math.clz32(first) !== ((bits - 1) & 7) + 1) {
        throw new EvidenceError("openpgp-invalid", "A number of an OpenPGP signature is not written as it must be.");
      }
    }
  }
  if (rest.left > 0)
    throw new EvidenceError("openpgp-invalid", "Something stands behind the numbers of an OpenPGP signature.");
  return numbers;
}
