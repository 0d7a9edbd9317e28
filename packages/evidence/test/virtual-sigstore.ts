/**
 * A virtual Sigstore: a certificate authority with its certificate log, a timestamp authority, a log of each generation of Rekor, and the
 * bundles that they make together, good or damaged in a named way. That the good ones are good is said by cosign, not by us: see
 * interop/keyless.
 */
import { createHash } from "node:crypto";
import { nodeCrypto, type PrivateKey } from "../node/index.ts";
import { contextTag, derValue } from "../src/der.ts";
import {
  type Authority,
  canonicalJson,
  concatBytes,
  formatCheckpoint,
  formatNote,
  fromHex,
  inclusionProof,
  type JsonObject,
  leafHash,
  type LogKey,
  type NodeAt,
  nodeHash,
  noteSignatureLine,
  pae,
  rootHash,
  toBase64,
  toHex,
  type TrustRoot,
  utf8Encode,
} from "../src/index.ts";
import { timestampChain, token } from "./virtual-tsa.ts";
import { keyOf } from "./virtual.ts";
import {
  alternativeNames,
  authorityKeyId,
  authorityOf,
  codeSigningChain,
  CODE_SIGNING,
  DAY,
  extendedKeyUsage,
  extension,
  FULCIO,
  general,
  type Holder,
  integer,
  issue,
  NOW,
  octets,
  pemOf,
  sequence,
  SIGNING_USAGE,
  subjectKeyId,
  text,
} from "./virtual-ca.ts";

export const ISSUER = "https://issuer.example.com";
export const SUBJECT = "https://example.com/acme/app/.ci/build.yml@refs/heads/main";

export function sha256(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(
    createHash("sha256")
      .update(concatBytes(...parts))
      .digest(),
  );
}

function uint(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);
}

// Certificate authority and certificate log

const ca = codeSigningChain();
export const ctKey = keyOf("ct log");

export type CertificateTerms = {
  readonly issuer?: string;
  readonly subject?: string;
  readonly key?: PrivateKey;
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** The key that signs the SCT; null for a certificate without one. */
  readonly ct?: PrivateKey | null;
  readonly sctTime?: number;
};

/** A certificate as Fulcio makes them: valid ten minutes around {@link NOW}, one name, the issuer in the extensions, one SCT. */
export function certificate(terms: CertificateTerms = {}): Holder {
  const { issuer = ISSUER, subject = SUBJECT, key = keyOf("certified"), ct = ctKey, sctTime = NOW } = terms;
  const extensions = [
    SIGNING_USAGE,
    extendedKeyUsage([CODE_SIGNING]),
    subjectKeyId(key),
    authorityKeyId(ca.intermediate.key),
    alternativeNames(general.uri(subject)),
    extension(`${FULCIO}1`, utf8Encode(issuer)),
    extension(`${FULCIO}8`, text(0x0c, issuer)),
  ];
  return issue({
    name: [],
    key,
    issuer: ca.intermediate,
    extensions,
    notBefore: terms.notBefore ?? NOW - 5 * 60_000,
    notAfter: terms.notAfter ?? NOW + 5 * 60_000,
    alter: (fields) => {
      if (ct === null) return fields;
      const list = extension("1.3.6.1.4.1.11129.2.4.2", octets(sctList(sequence(...fields), ct, sctTime)));
      return [...fields.slice(0, -1), derValue(contextTag(3, true), sequence(...extensions, list))];
    },
  });
}

/** RFC 6962 §3.2 and §3.3: one SCT over a certificate that does not hold it yet. */
function sctList(tbs: Uint8Array, key: PrivateKey, time: number): Uint8Array {
  const entry = concatBytes(sha256(ca.intermediate.key.publicKey.spki), uint(tbs.length, 3), tbs);
  const signature = key.sign(concatBytes(Uint8Array.of(0, 0), uint(time, 8), uint(1, 2), entry, uint(0, 2)));
  const sct = concatBytes(
    Uint8Array.of(0),
    sha256(key.publicKey.spki),
    uint(time, 8),
    uint(0, 2),
    Uint8Array.of(4, 3),
    uint(signature.length, 2),
    signature,
  );
  return concatBytes(uint(sct.length + 2, 2), uint(sct.length, 2), sct);
}

// Timestamp authority

const { root: tsaRoot, leaf: tsa } = timestampChain();

/**
 * An RFC 3161 response as Sigstore's clients ask for it, without certificates: `message` existed at `time`. Its status has no words for people,
 * which nobody would have signed.
 */
export function stamp(message: Uint8Array, time: number = NOW): Uint8Array {
  return sequence(sequence(integer(0)), token({ signer: tsa, message, time, certificates: [] }));
}

// Transparency logs

/** A log of either generation that keeps its leaves in memory. */
export class VirtualLog {
  readonly key: PrivateKey;
  readonly rekor: 1 | 2;
  readonly origin: string;
  readonly logId: Uint8Array;
  readonly #leaves: Uint8Array[] = [];

  constructor(rekor: 1 | 2, origin: string, key: PrivateKey, before: readonly string[] = ["a", "b", "c"]) {
    this.rekor = rekor;
    this.origin = origin;
    this.key = key;
    const { spki } = key.publicKey;
    // C2SP signed-note: the id of an Ed25519 key hashes the name too; Rekor v1 and ECDSA keys hash the key alone.
    this.logId =
      key.algorithm === "ed25519"
        ? sha256(utf8Encode(origin), Uint8Array.of(0x0a, 1), spki.subarray(-32))
        : sha256(spki);
    // Index 0 is what protobuf's JSON leaves out; the tests that are about that ask for it.
    for (const leaf of before) this.#leaves.push(leafHash(nodeCrypto, utf8Encode(leaf)));
  }

  get trusted(): LogKey {
    const { origin, logId } = this;
    return {
      baseUrl: `https://${origin}`,
      origin,
      publicKey: this.key.publicKey,
      logId,
      validFrom: NOW - DAY,
      validUntil: NOW + DAY,
    };
  }

  /** A TransparencyLogEntry in JSON. Rekor v1 counts indexes over all its trees: here by a hundred more. */
  add(body: JsonObject, changes: EntryChanges = {}): { [member: string]: unknown } {
    const bytes = utf8Encode(canonicalJson(body));
    const index = this.#leaves.push(leafHash(nodeCrypto, bytes)) - 1;
    this.#leaves.push(leafHash(nodeCrypto, utf8Encode(`after ${index}`)));
    const { integratedTime = NOW / 1000, promise = this.rekor === 1, proof = true } = changes;
    const logIndex = this.rekor === 1 ? index + 100 : index;
    const canonicalizedBody = toBase64(bytes);
    const promised = { body: canonicalizedBody, integratedTime, logID: toHex(this.logId), logIndex };
    return {
      logIndex: String(logIndex),
      logId: { keyId: toBase64(this.logId) },
      kindVersion: { kind: body["kind"], version: body["apiVersion"] },
      ...(this.rekor === 1 ? { integratedTime: String(integratedTime) } : {}),
      ...(promise
        ? { inclusionPromise: { signedEntryTimestamp: toBase64(this.key.sign(utf8Encode(canonicalJson(promised)))) } }
        : {}),
      ...(proof ? { inclusionProof: this.#proof(index, changes) } : {}),
      canonicalizedBody,
    };
  }

  #proof(index: number, { by = this.key, origin = this.origin, signedAs = origin }: EntryChanges): object {
    const size = this.#leaves.length;
    const root = rootHash(nodeCrypto, size, this.#nodeAt);
    const text = formatCheckpoint({
      origin: this.rekor === 1 ? `${origin} - 1193050959916656506` : origin,
      size,
      root,
      extensions: [],
    });
    const line = noteSignatureLine({ name: signedAs, keyHash: this.logId.subarray(0, 4) }, by.sign(utf8Encode(text)));
    return {
      logIndex: String(index),
      rootHash: toBase64(root),
      treeSize: String(size),
      hashes: inclusionProof(nodeCrypto, index, size, this.#nodeAt).map(toBase64),
      checkpoint: { envelope: formatNote(text, [line]) },
    };
  }

  readonly #nodeAt: NodeAt = (level, index) => {
    if (level === 0) return this.#leaves[index] ?? new Uint8Array(32);
    return nodeHash(nodeCrypto, this.#nodeAt(level - 1, 2 * index), this.#nodeAt(level - 1, 2 * index + 1));
  };
}

export type EntryChanges = {
  /** Seconds since 1970. */
  readonly integratedTime?: number;
  readonly promise?: boolean;
  readonly proof?: boolean;
  /** Who signs the checkpoint. */
  readonly by?: PrivateKey;
  /** The name in the checkpoint, and the one beside its signature. */
  readonly origin?: string;
  readonly signedAs?: string;
};

export const rekor1 = new VirtualLog(1, "rekor.example.com", keyOf("rekor v1"));
export const rekor2 = new VirtualLog(2, "log2026-1.rekor.example.com", keyOf("rekor v2", "ed25519"));

/** What trusts all of it. */
export function trustRoot(changes: Partial<TrustRoot> = {}): TrustRoot {
  return {
    name: "virtual",
    profile: "sigstore",
    certificateAuthorities: [authorityOf(ca.intermediate, ca.root)],
    timestampAuthorities: [{ ...authorityOf(tsa, tsaRoot), uri: "https://tsa.example.com" } satisfies Authority],
    tlogs: [rekor1.trusted, rekor2.trusted],
    ctlogs: [
      {
        baseUrl: "https://ct.example.com",
        origin: "ct.example.com",
        publicKey: ctKey.publicKey,
        logId: sha256(ctKey.publicKey.spki),
        validFrom: NOW - DAY,
        validUntil: NOW + DAY,
      },
    ],
    ...changes,
  };
}

/** The same as `trusted_root.json`, for other programs. */
export function trustedRootJson(root: TrustRoot = trustRoot()): object {
  const window = (from: number | null, until: number | null): object => ({
    start: new Date(from ?? NOW - 3_000 * DAY).toISOString().replace(".000", ""),
    ...(until === null ? {} : { end: new Date(until).toISOString().replace(".000", "") }),
  });
  const log = ({ baseUrl, publicKey, logId, validFrom, validUntil }: LogKey): object => ({
    baseUrl,
    hashAlgorithm: "SHA2_256",
    publicKey: {
      rawBytes: toBase64(publicKey.spki),
      keyDetails: publicKey.algorithm === "ed25519" ? "PKIX_ED25519" : "PKIX_ECDSA_P256_SHA_256",
      validFor: window(validFrom, validUntil),
    },
    logId: { keyId: toBase64(logId) },
  });
  const authority = ({ certificates, uri, validFrom, validUntil }: Authority): object => ({
    subject: { organization: "Acme", commonName: "Acme" },
    uri: uri === "" ? "https://ca.example.com" : uri,
    certChain: { certificates: certificates.map((der) => ({ rawBytes: toBase64(der) })) },
    validFor: window(validFrom, validUntil),
  });
  return {
    mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    tlogs: root.tlogs.map(log),
    certificateAuthorities: root.certificateAuthorities.map(authority),
    ctlogs: root.ctlogs.map(log),
    timestampAuthorities: root.timestampAuthorities.map(authority),
  };
}

// What logs keep

/** Who signed, as logs name it. */
export type Signer = { readonly key: PrivateKey; readonly certificate: Uint8Array | undefined };

export type Signed = {
  readonly signer: Signer;
  readonly signature: Uint8Array;
  /** What is signed: the file, or the statement that stands in the envelope. */
  readonly payload: Uint8Array;
};

export const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const b64Text = (value: string): string => toBase64(utf8Encode(value));
const hex = (bytes: Uint8Array): { algorithm: string; value: string } => ({
  algorithm: "sha256",
  value: toHex(sha256(bytes)),
});

function pem({ key, certificate: der }: Signer): string {
  return der === undefined
    ? `-----BEGIN PUBLIC KEY-----\n${toBase64(key.publicKey.spki)}\n-----END PUBLIC KEY-----\n`
    : pemOf(der);
}

function verifier2({ key, certificate: der }: Signer): JsonObject {
  const keyDetails = "PKIX_ECDSA_P256_SHA_256";
  return der === undefined
    ? { keyDetails, publicKey: { rawBytes: toBase64(key.publicKey.spki) } }
    : { keyDetails, x509Certificate: { rawBytes: toBase64(der) } };
}

/** Bodies of entries by kind and version, written here once more, so that a mistake in the reader is not repeated by its test. */
export const bodies = {
  "hashedrekord 0.0.1": ({ signer, signature, payload }: Signed): JsonObject => ({
    apiVersion: "0.0.1",
    kind: "hashedrekord",
    spec: {
      data: { hash: hex(payload) },
      signature: { content: toBase64(signature), publicKey: { content: b64Text(pem(signer)) } },
    },
  }),
  "dsse 0.0.1": ({ signer, signature, payload }: Signed): JsonObject => ({
    apiVersion: "0.0.1",
    kind: "dsse",
    spec: {
      envelopeHash: hex(payload),
      payloadHash: hex(payload),
      signatures: [{ signature: toBase64(signature), verifier: b64Text(pem(signer)) }],
    },
  }),
  "intoto 0.0.2": ({ signer, signature, payload }: Signed): JsonObject => ({
    apiVersion: "0.0.2",
    kind: "intoto",
    spec: {
      content: {
        envelope: {
          payloadType: PAYLOAD_TYPE,
          signatures: [{ publicKey: b64Text(pem(signer)), sig: b64Text(toBase64(signature)) }],
        },
        hash: hex(payload),
        payloadHash: hex(payload),
      },
    },
  }),
  "hashedrekord 0.0.2": ({ signer, signature, payload }: Signed): JsonObject => ({
    apiVersion: "0.0.2",
    kind: "hashedrekord",
    spec: {
      hashedRekordV002: {
        data: { algorithm: "SHA2_256", digest: toBase64(sha256(payload)) },
        signature: { content: toBase64(signature), verifier: verifier2(signer) },
      },
    },
  }),
  "dsse 0.0.2": ({ signer, signature, payload }: Signed): JsonObject => ({
    apiVersion: "0.0.2",
    kind: "dsse",
    spec: {
      dsseV002: {
        payloadHash: { algorithm: "SHA2_256", digest: toBase64(sha256(payload)) },
        signatures: [{ content: toBase64(signature), verifier: verifier2(signer) }],
      },
    },
  }),
} as const;

export type BodyName = keyof typeof bodies;

// Bundles

export type BundleTerms = {
  readonly version?: "0.1" | "0.2" | "0.3";
  /** A file's bytes, signed as they are; or a statement, in an envelope. */
  readonly message?: Uint8Array;
  readonly statement?: Uint8Array;
  /** A certificate of {@link certificate}, or a bare key. */
  readonly holder?: Holder;
  readonly key?: PrivateKey;
  /** Kinds of the log entries, one for each. */
  readonly entries?: readonly BodyName[];
  /** Changes what the logs are told: an entry about something else. */
  readonly logged?: Partial<Signed>;
  readonly entry?: EntryChanges;
  /** ms; null for no timestamp. */
  readonly stamped?: number | null;
};

/** A bundle's JSON, made whole by the virtual instance. */
export function bundleJson(terms: BundleTerms): VirtualBundle {
  const { version = "0.3", message, statement, holder, entries = [], stamped = NOW } = terms;
  const key = holder?.key ?? terms.key ?? keyOf("build");
  const payload = message ?? statement ?? utf8Encode("{}");
  const encoded = message === undefined ? pae(PAYLOAD_TYPE, payload) : payload;
  const signature = key.sign(encoded);
  const signer = { key, certificate: holder?.der };
  const tlogEntries = entries.map((name) => {
    // hashedrekord 0.0.2 stands for envelopes too: over what is signed, not over what it says.
    const hashed = name.startsWith("hashedrekord") ? encoded : payload;
    const log = name.endsWith("0.0.2") && !name.startsWith("intoto") ? rekor2 : rekor1;
    return log.add(bodies[name]({ signer, signature, payload: hashed, ...terms.logged }), terms.entry);
  });
  const rawBytes = toBase64(holder?.der ?? new Uint8Array(0));
  const material =
    holder === undefined
      ? { publicKey: { hint: toBase64(fromHex(key.publicKey.keyId)) } }
      : version === "0.3"
        ? { certificate: { rawBytes } }
        : { x509CertificateChain: { certificates: [{ rawBytes }] } };
  return {
    mediaType:
      version === "0.3"
        ? "application/vnd.dev.sigstore.bundle.v0.3+json"
        : `application/vnd.dev.sigstore.bundle+json;version=${version}`,
    verificationMaterial: {
      ...material,
      tlogEntries,
      ...(stamped === null
        ? {}
        : {
            timestampVerificationData: {
              rfc3161Timestamps: [{ signedTimestamp: toBase64(stamp(signature, stamped)) }],
            },
          }),
    },
    ...(message === undefined
      ? {
          dsseEnvelope: {
            payload: toBase64(payload),
            payloadType: PAYLOAD_TYPE,
            signatures: [{ sig: toBase64(signature) }],
          },
        }
      : {
          messageSignature: {
            messageDigest: { algorithm: "SHA2_256", digest: toBase64(sha256(payload)) },
            signature: toBase64(signature),
          },
        }),
  };
}

/** A bundle's JSON as tests alter it: loosely typed on purpose, since damage is the point. */
export type VirtualBundle = {
  mediaType: string;
  verificationMaterial: { [member: string]: unknown; tlogEntries: { [member: string]: unknown }[] };
  dsseEnvelope?: { payload: string; payloadType: string; signatures: { sig: string }[] };
  messageSignature?: { messageDigest: object; signature: string };
};

export function bundleBytes(json: object): Uint8Array {
  return utf8Encode(JSON.stringify(json));
}
