/**
 * OpenPGP by hand: keys, certificates and signatures, right or wrong in exactly the way a test is about. gpgv accepts what is right of
 * it (interop/openpgp).
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

export const RSA = 1;
export const EDDSA_LEGACY = 22;
export const ED25519 = 27;

/** Hash algorithms by their numbers. */
const HASHES: Record<number, { name: string; salt: number }> = {
  1: { name: "md5", salt: 0 },
  2: { name: "sha1", salt: 0 },
  8: { name: "sha256", salt: 16 },
  10: { name: "sha512", salt: 32 },
};

export type Bytes = Uint8Array;

export function join(...parts: readonly (Bytes | readonly number[])[]): Bytes {
  return new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));
}

export function u16(value: number): Bytes {
  return Uint8Array.of(value >> 8, value & 0xff);
}

export function u32(value: number): Bytes {
  return Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

export function mpi(bytes: Bytes): Bytes {
  const start = bytes.findIndex((byte) => byte !== 0);
  if (start < 0) return u16(0);
  const magnitude = bytes.subarray(start);
  return join(u16((magnitude.length - 1) * 8 + 32 - Math.clz32(magnitude[0] ?? 0)), magnitude);
}

/** A packet of the new format. */
export function packet(tag: number, body: Bytes): Bytes {
  return join([0xc0 | tag], lengthOf(body.length), body);
}

function lengthOf(length: number): Bytes {
  if (length < 192) return Uint8Array.of(length);
  if (length < 8384) return Uint8Array.of(((length - 192) >> 8) + 192, (length - 192) & 0xff);
  return join([255], u32(length));
}

export type SubpacketSpec = { type: number; body: Bytes | readonly number[]; critical?: boolean };

export function subpacket({ type, body, critical = false }: SubpacketSpec): Bytes {
  return join(lengthOf(body.length + 1), [(critical ? 0x80 : 0) | type], body);
}

export function armor(label: string, data: Bytes, { checksum = true }: { checksum?: boolean } = {}): string {
  const lines =
    Buffer.from(data)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  const sum = checksum ? [`=${Buffer.from(u32(crc24(data)).subarray(1)).toString("base64")}`] : [];
  return [`-----BEGIN PGP ${label}-----`, "", ...lines, ...sum, `-----END PGP ${label}-----`, ""].join("\n");
}

function crc24(bytes: Bytes): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ ((crc & 0x800000) === 0 ? 0 : 0x1864cfb);
  }
  return crc & 0xffffff;
}

/** When test keys were made, seconds since 1970. */
export const BIRTH = 1_700_000_000;

export type KeySpec = {
  version?: 4 | 6;
  algorithm?: number;
  /** Seconds since 1970. */
  created?: number;
  /** Of an RSA key. */
  bits?: number;
  /** An Ed25519 point instead of the key's own. */
  point?: Bytes;
  /** What is made of every Ed25519 signature, R and S, before it is written. */
  alter?: (numbers: Bytes) => Bytes;
};

export class TestKey {
  readonly version: 4 | 6;
  readonly created: number;
  readonly algorithm: number;
  readonly body: Bytes;
  readonly fingerprint: Bytes;
  readonly #private: KeyObject;
  readonly #alter: (numbers: Bytes) => Bytes;

  constructor({
    version = 4,
    algorithm = EDDSA_LEGACY,
    created = BIRTH,
    bits = 2048,
    point,
    alter = (numbers) => numbers,
  }: KeySpec = {}) {
    this.#alter = alter;
    this.version = version;
    this.created = created;
    this.algorithm = algorithm;
    const { publicKey, privateKey } =
      algorithm === RSA ? generateKeyPairSync("rsa", { modulusLength: bits }) : generateKeyPairSync("ed25519");
    this.#private = privateKey;
    const jwk = publicKey.export({ format: "jwk" });
    const field = (text: string | undefined): Bytes => new Uint8Array(Buffer.from(text ?? "", "base64url"));
    let material: Bytes;
    if (algorithm === RSA) material = join(mpi(field(jwk.n)), mpi(field(jwk.e)));
    else if (algorithm === EDDSA_LEGACY)
      material = join(
        [9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01],
        mpi(join([0x40], point ?? field(jwk.x))),
      );
    else material = point ?? field(jwk.x);
    this.body = join([version], u32(created), [algorithm], version === 6 ? u32(material.length) : [], material);
    this.fingerprint = new Uint8Array(
      createHash(version === 6 ? "sha256" : "sha1")
        .update(this.hashed)
        .digest(),
    );
  }

  get hex(): string {
    return Buffer.from(this.fingerprint).toString("hex");
  }

  get keyId(): Bytes {
    return this.version === 6 ? this.fingerprint.subarray(0, 8) : this.fingerprint.subarray(12);
  }

  get hashed(): Bytes {
    return this.version === 6
      ? join([0x9b], u32(this.body.length), this.body)
      : join([0x99], u16(this.body.length), this.body);
  }

  /** A signature's numbers over what is hashed. */
  sign(hash: string, data: Bytes): Bytes {
    if (this.algorithm === RSA) return mpi(new Uint8Array(sign(hash, data, this.#private)));
    const digest = createHash(hash).update(data).digest();
    const numbers = this.#alter(new Uint8Array(sign(null, digest, this.#private)));
    return this.algorithm === ED25519 ? numbers : join(mpi(numbers.subarray(0, 32)), mpi(numbers.subarray(32)));
  }
}

export type SignatureSpec = {
  version?: 3 | 4 | 6;
  type?: number;
  hash?: number;
  /** Seconds since 1970. */
  created?: number;
  /** Hashed subpackets behind the creation time and the issuer's fingerprint. */
  hashed?: readonly SubpacketSpec[];
  /** Unhashed subpackets, instead of the issuer's key id. */
  unhashed?: readonly SubpacketSpec[];
  /** All hashed subpackets, instead of those that are always there. */
  onlyHashed?: readonly SubpacketSpec[];
};

/** A signature packet's body over data that is already in the form that is hashed. */
export function signatureBody(key: TestKey, data: Bytes, spec: SignatureSpec = {}): Bytes {
  const { version = key.version, type = 0, hash = 8, created = BIRTH + 100 } = spec;
  const { name, salt: saltLength } = HASHES[hash] ?? { name: "sha256", salt: 16 };
  if (version === 3) {
    const covered = join([type], u32(created));
    const hashed = join(data, covered);
    const start = createHash(name).update(hashed).digest().subarray(0, 2);
    return join([3, 5], covered, key.keyId, [key.algorithm, hash], start, key.sign(name, hashed));
  }
  const size = version === 6 ? u32 : u16;
  const hashedArea = join(
    ...(
      spec.onlyHashed ?? [
        { type: 2, body: u32(created) },
        { type: 33, body: join([key.version], key.fingerprint) },
        ...(spec.hashed ?? []),
      ]
    ).map(subpacket),
  );
  const unhashedArea = join(
    ...(spec.unhashed ?? (version === 6 ? [] : [{ type: 16, body: key.keyId }])).map(subpacket),
  );
  const covered = join([version, type, key.algorithm, hash], size(hashedArea.length), hashedArea);
  const salt = version === 6 ? new Uint8Array(saltLength).fill(7) : new Uint8Array(0);
  const hashed = join(salt, data, covered, [version, 0xff], u32(covered.length));
  const start = createHash(name).update(hashed).digest().subarray(0, 2);
  return join(
    covered,
    size(unhashedArea.length),
    unhashedArea,
    start,
    version === 6 ? [salt.length] : [],
    salt,
    key.sign(name, hashed),
  );
}

/** A detached signature packet. */
export function signature(key: TestKey, document: Bytes | string, spec: SignatureSpec = {}): Bytes {
  return packet(
    2,
    signatureBody(key, typeof document === "string" ? new TextEncoder().encode(document) : document, spec),
  );
}

export const FLAGS_SIGN: SubpacketSpec = { type: 27, body: [0x03] };
export const FLAGS_CERTIFY: SubpacketSpec = { type: 27, body: [0x01] };
export const FLAGS_SIGN_ONLY: SubpacketSpec = { type: 27, body: [0x02] };
export const FLAGS_ENCRYPT: SubpacketSpec = { type: 27, body: [0x0c] };

export function expiresAfter(seconds: number): SubpacketSpec {
  return { type: 9, body: u32(seconds) };
}

/** Reasons for revocation. */
export const NO_REASON = 0;
export const SUPERSEDED = 1;
export const COMPROMISED = 2;
export const RETIRED = 3;
export const USER_ID_INVALID = 32;

export function reason(code: number): SubpacketSpec {
  return { type: 29, body: [code] };
}

export function userIdPackets(key: TestKey, name: string, spec: SignatureSpec = {}, ...others: Bytes[]): Bytes {
  const id = new TextEncoder().encode(name);
  const certification = signatureBody(key, userIdData(key, name, spec.version), {
    type: 0x13,
    created: key.created,
    hashed: [FLAGS_SIGN],
    ...spec,
  });
  return join(packet(13, id), packet(2, certification), ...others);
}

export function userIdData(key: TestKey, name: string, version: number = key.version): Bytes {
  const id = new TextEncoder().encode(name);
  return version === 3 ? join(key.hashed, id) : join(key.hashed, [0xb4], u32(id.length), id);
}

export type SubkeySpec = SignatureSpec & {
  /** The subkey's own agreement; null for none. */
  back?: SignatureSpec | null;
  /** Who makes the back signature, instead of the subkey. */
  backBy?: TestKey;
};

export function subkeyPackets(primary: TestKey, subkey: TestKey, spec: SubkeySpec = {}, ...others: Bytes[]): Bytes {
  const { back = {}, backBy = subkey, ...binding } = spec;
  const data = join(primary.hashed, subkey.hashed);
  const embedded: SubpacketSpec[] =
    back === null
      ? []
      : [{ type: 32, body: signatureBody(backBy, data, { type: 0x19, created: subkey.created, ...back }) }];
  const body = signatureBody(primary, data, {
    type: 0x18,
    created: subkey.created,
    ...binding,
    hashed: [...(binding.hashed ?? [FLAGS_SIGN_ONLY]), ...embedded],
  });
  return join(packet(14, subkey.body), packet(2, body), ...others);
}

export function keyRevocation(key: TestKey, code: number | null, created: number, spec: SignatureSpec = {}): Bytes {
  return packet(
    2,
    signatureBody(key, key.hashed, { type: 0x20, created, hashed: code === null ? [] : [reason(code)], ...spec }),
  );
}

export function subkeyRevocation(primary: TestKey, subkey: TestKey, code: number, created: number): Bytes {
  return packet(
    2,
    signatureBody(primary, join(primary.hashed, subkey.hashed), { type: 0x28, created, hashed: [reason(code)] }),
  );
}

export function userIdRevocation(key: TestKey, name: string, code: number, created: number): Bytes {
  return packet(2, signatureBody(key, userIdData(key, name), { type: 0x30, created, hashed: [reason(code)] }));
}

export function directSignature(key: TestKey, spec: SignatureSpec = {}): Bytes {
  return packet(2, signatureBody(key, key.hashed, { type: 0x1f, created: key.created, hashed: [FLAGS_SIGN], ...spec }));
}

/** An armoured certificate: the primary key, and packets behind it. */
export function certificate(key: TestKey, ...parts: Bytes[]): string {
  return armor("PUBLIC KEY BLOCK", join(packet(6, key.body), ...parts));
}

/** A certificate as most are: one user id, and for version 6 a direct signature. */
export function plainCertificate(key: TestKey, name = "Test <test@example.org>"): string {
  return certificate(key, ...(key.version === 6 ? [directSignature(key)] : []), userIdPackets(key, name));
}

/** What is signed of a text: its lines end in CR LF. */
export function canonical(text: string): Bytes {
  return new TextEncoder().encode(text.replaceAll(/\r?\n/g, "\r\n"));
}

/** A clear-signed text. `written` is what stands in it; by default the text, dash-escaped. */
export function clearSigned(
  key: TestKey,
  text: string,
  spec: SignatureSpec & { headers?: string; written?: string } = {},
): string {
  const { headers = "Hash: SHA256\n", written = text.replaceAll(/^-/gm, "- -"), ...rest } = spec;
  const signed = text
    .replace(/\r?\n$/, "")
    .split(/\r?\n/)
    .map((line) => line.replace(/[ \t]+$/, ""))
    .join("\r\n");
  const block = armor(
    "SIGNATURE",
    packet(2, signatureBody(key, new TextEncoder().encode(signed), { type: 1, ...rest })),
  );
  return `-----BEGIN PGP SIGNED MESSAGE-----\n${headers}\n${written}${block}`;
}
