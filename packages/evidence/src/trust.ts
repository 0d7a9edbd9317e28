/** Trust: who may say what about which artifacts, and when. Versioned data; a verdict names the version it used. */
import { sha256 } from "@noble/hashes/sha2.js";
import { toHex, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { type PublicKey, parsePublicKeyPem } from "./keys.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { parseVkey } from "./note.ts";
import { matchesText, type TrustScope } from "./scope.ts";
import { readRoot, rootJson, type TrustRoot } from "./trust-root.ts";

/** What every entry says, whoever it is about. An identity may have several entries; each is judged as a whole. */
type EntryTerms = {
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** What names the identity, the same in every entry about it: see each kind. */
  readonly keyId: string;
  readonly scope: TrustScope;
  /** First and last moment, both inclusive, in ms since 1970; null = unbounded. */
  readonly validFrom: number | null;
  readonly validUntil: number | null;
  /** Whether this identity sets an artifact's primary provenance in its scope. */
  readonly primary: boolean;
};

/** A key of one's own. */
export type KeyEntry = EntryTerms & {
  readonly kind: "key";
  readonly publicKeyPem: string;
  /** Lower-case hex SHA-256 of the key's SPKI; must fit `publicKeyPem`. */
  readonly keyId: string;
};

/** How a certificate's subject is compared: exactly, or by a pattern (see {@link matchesText}). */
export type SubjectMatch = { readonly kind: "exact" | "pattern"; readonly value: string };

/** Whom a certificate under one of the version's roots must be for. */
export type CertificateIdentity = {
  /** The name of a root of the same trust version. */
  readonly root: string;
  /**
   * The OIDC issuer that the certificate names (Fulcio's extension), compared exactly. Null for roots of profile "x509" only, whose
   * certificates name none.
   */
  readonly issuer: string | null;
  /** The certificate's one subject alternative name; without any, under a root of profile "x509", its subject in RFC 4514 form. */
  readonly subject: SubjectMatch;
};

/** An identity that a certificate authority vouches for. */
export type CertificateEntry = EntryTerms &
  CertificateIdentity & {
    readonly kind: "certificate";
    /** See {@link certificateKeyId}. */
    readonly keyId: string;
  };

/** An OpenPGP certificate: its primary key, and the subkeys it binds. */
export type OpenPgpEntry = EntryTerms & {
  readonly kind: "openpgp";
  /** The certificate as an armoured public key block. */
  readonly certificate: string;
  /** Lower-case hex fingerprint of its primary key: 40 digits for version 4, 64 for version 6. Never a key id. */
  readonly keyId: string;
};

/** One identity with one scope and one window. */
export type TrustEntry = KeyEntry | CertificateEntry | OpenPgpEntry;

/** The whole of an organisation's trust at one version. */
export type TrustVersion = {
  readonly org: string;
  readonly version: number;
  readonly entries: readonly TrustEntry[];
  /** vkeys of record logs whose receipts count as proven time. */
  readonly logs: readonly string[];
  /** Certificate authorities, timestamp authorities and logs, by names that certificate entries use. */
  readonly roots: readonly TrustRoot[];
};

export const TRUST_MEDIA_TYPE = "application/vnd.assay.trust.v1+json";

/** The name under which a certificate identity is known: lower-case hex SHA-256 of its canonical JSON {issuer, root, subject}. */
export function certificateKeyId({ root, issuer, subject }: CertificateIdentity): string {
  const { kind, value } = subject;
  return toHex(sha256(utf8Encode(canonicalJson({ issuer, root, subject: { kind, value } }))));
}

/** Whether a certificate's subject is the one meant. */
export function matchesSubject(match: SubjectMatch, subject: string): boolean {
  return match.kind === "exact" ? match.value === subject : matchesText(match.value, subject);
}

/** The entry's key. Throws `trust-invalid` if the entry is inconsistent: that is no verdict about any evidence. */
export function trustedKey(entry: KeyEntry): PublicKey {
  let key = parsedKeys.get(entry.publicKeyPem);
  if (key === undefined) {
    try {
      key = parsePublicKeyPem(entry.publicKeyPem);
    } catch (cause) {
      throw new EvidenceError("trust-invalid", `The key of trust entry ${JSON.stringify(entry.id)} cannot be read.`, {
        cause,
      });
    }
    if (parsedKeys.size >= PARSED_KEYS) parsedKeys.clear();
    parsedKeys.set(entry.publicKeyPem, key);
  }
  if (key.keyId !== entry.keyId) {
    throw new EvidenceError(
      "trust-invalid",
      `The key id of trust entry ${JSON.stringify(entry.id)} is not that of its key.`,
    );
  }
  return key;
}

/** Parsed keys by their exact text, so that no later change of an entry can meet a stale key. */
const parsedKeys = new Map<string, PublicKey>();
const PARSED_KEYS = 1_024;

/** Reads a trust file and checks every entry. Throws `trust-invalid`, `too-large` and the errors of `parseJson`. */
export function parseTrustFile(bytes: Uint8Array): TrustVersion {
  const json = parseJson(bytes, { maxBytes: LIMITS.trustBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "trust", "trust-invalid");
  members.only(["mediaType", "org", "version", "entries", "logs", "roots"]);
  if (members.string("mediaType", LIMITS.typeLength) !== TRUST_MEDIA_TYPE)
    throw members.wrong("mediaType", "is not supported");
  const org = members.string("org", LIMITS.typeLength);
  const version = members.count("version");
  // Files of before certificates were trusted have no roots.
  const roots = members.has("roots")
    ? members.array("roots", LIMITS.trustRoots).map((value, index) => readTrustRoot(value, `trust.roots[${index}]`))
    : [];
  const entries = members.array("entries", LIMITS.trustEntries).map((value, index) => {
    return readEntry(new Members(value, `trust.entries[${index}]`, "trust-invalid"));
  });
  const logs = members.strings("logs", LIMITS.trustEntries, 8_192);
  for (const vkey of logs) readVkey(vkey);
  const trust = { org, version, entries, logs, roots };
  checkTrust(trust);
  return trust;
}

/**
 * Demands that a trust version means something definite: ids and names of roots once each, and every certificate entry under a root that
 * is there and of a profile that fits it. Throws `trust-invalid`.
 */
export function checkTrust({ entries, roots }: Pick<TrustVersion, "entries" | "roots">): void {
  const refuse = (message: string): never => {
    throw new EvidenceError("trust-invalid", message);
  };
  if (new Set(entries.map((entry) => entry.id)).size !== entries.length) refuse("trust.entries repeats an id.");
  if (new Set(roots.map((root) => root.name)).size !== roots.length) refuse("trust.roots repeats a name.");
  for (const entry of entries) {
    if (entry.kind !== "certificate") continue;
    const root = roots.find((one) => one.name === entry.root);
    const where = `Trust entry ${JSON.stringify(entry.id)}`;
    if (root === undefined) refuse(`${where} names the root ${JSON.stringify(entry.root)}, which is not there.`);
    else if (root.profile === "sigstore" && entry.issuer === null) refuse(`${where} names no issuer.`);
  }
}

/** The JSON file that {@link parseTrustFile} reads: what `assay` exports for offline use. Throws as it does. */
export function formatTrustFile(trust: TrustVersion): Uint8Array {
  const { org, version, entries, logs, roots } = trust;
  const file = { mediaType: TRUST_MEDIA_TYPE, org, version, entries, logs, roots: roots.map(rootJson) };
  const bytes = utf8Encode(`${JSON.stringify(file, null, 2)}\n`);
  parseTrustFile(bytes);
  return bytes;
}

const TERMS = ["id", "name", "keyId", "scope", "validFrom", "validUntil", "primary"];
const OWN_MEMBERS: Readonly<Record<TrustEntry["kind"], readonly string[]>> = {
  key: ["publicKeyPem"],
  certificate: ["root", "issuer", "subject"],
  openpgp: ["certificate"],
};

function readEntry(members: Members): TrustEntry {
  // Files of before there were other kinds hold keys only, and say nothing of kinds.
  const kind = members.has("kind") ? members.string("kind", 16) : "key";
  if (kind !== "key" && kind !== "certificate" && kind !== "openpgp") throw members.wrong("kind", "is not supported");
  members.only(["kind", ...TERMS, ...OWN_MEMBERS[kind]]);
  const terms = readTerms(members);
  switch (kind) {
    case "key": {
      const entry: KeyEntry = { ...terms, kind, publicKeyPem: members.string("publicKeyPem", LIMITS.pemLength) };
      trustedKey(entry);
      return entry;
    }
    case "certificate": {
      const match = members.object("subject").only(["kind", "value"]);
      const subject = { kind: match.string("kind", 16), value: match.string("value", LIMITS.typeLength) };
      if ((subject.kind !== "exact" && subject.kind !== "pattern") || subject.value === "")
        throw members.wrong("subject", "is neither an exact text nor a pattern");
      const identity: CertificateIdentity = {
        root: members.string("root", LIMITS.typeLength),
        issuer: members.get("issuer") === null ? null : members.string("issuer", LIMITS.typeLength),
        subject: { kind: subject.kind, value: subject.value },
      };
      if (certificateKeyId(identity) !== terms.keyId) throw members.wrong("keyId", "is not that of its identity");
      return { ...terms, ...identity, kind };
    }
    case "openpgp":
      // Whether the certificate is the fingerprint's is found out where OpenPGP is read: see verify-openpgp.ts.
      if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(terms.keyId)) throw members.wrong("keyId", "is not a fingerprint");
      return { ...terms, kind, certificate: members.string("certificate", LIMITS.openPgpCertificate) };
  }
}

function readTerms(members: Members): EntryTerms {
  const scope = members.object("scope").only(["repositories", "predicateTypes"]);
  return {
    id: members.string("id", LIMITS.typeLength),
    name: members.string("name", LIMITS.typeLength),
    keyId: members.string("keyId", 64),
    scope: {
      repositories: scope.strings("repositories", LIMITS.scopePatterns, LIMITS.repositoryLength),
      predicateTypes: scope.strings("predicateTypes", LIMITS.scopePatterns, LIMITS.typeLength),
    },
    validFrom: members.get("validFrom") === null ? null : members.count("validFrom"),
    validUntil: members.get("validUntil") === null ? null : members.count("validUntil"),
    primary: members.boolean("primary"),
  };
}

/** Reads a trust root as trust files hold it. Throws `trust-invalid`, `too-large`. */
export function readTrustRoot(value: JsonValue, where = "root"): TrustRoot {
  return readRoot(new Members(value, where, "trust-invalid"));
}

function readVkey(vkey: string): void {
  try {
    parseVkey(vkey);
  } catch (cause) {
    throw new EvidenceError("trust-invalid", "trust.logs holds something other than note keys.", { cause });
  }
}
