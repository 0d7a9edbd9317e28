/** Trust: which keys may say what about which artifacts, and when. Versioned data; a verdict names the version it used. */
import { utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { parseJson } from "./json.ts";
import { type PublicKey, parsePublicKeyPem } from "./keys.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { parseVkey } from "./note.ts";

/** What an entry's key may speak about. */
export type TrustScope = {
  /** Repository patterns: see {@link matchesRepository}. */
  readonly repositories: readonly string[];
  /** Predicate types, each exact, or "*" for any. */
  readonly predicateTypes: readonly string[];
};

/** One key with one scope and one window. A key may have several entries; each is judged as a whole. */
export type TrustEntry = {
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly publicKeyPem: string;
  /** Lower-case hex SHA-256 of the key's SPKI; must fit `publicKeyPem`. */
  readonly keyId: string;
  readonly scope: TrustScope;
  /** First and last moment, both inclusive, in ms since 1970; null = unbounded. */
  readonly validFrom: number | null;
  readonly validUntil: number | null;
  /** Whether this key sets an artifact's primary provenance in its scope. */
  readonly primary: boolean;
};

/** The whole of an organisation's trust at one version. */
export type TrustVersion = {
  readonly org: string;
  readonly version: number;
  readonly entries: readonly TrustEntry[];
  /** vkeys of record logs whose receipts count as proven time. */
  readonly logs: readonly string[];
};

export const TRUST_MEDIA_TYPE = "application/vnd.assay.trust.v1+json";

/**
 * Whether one of the patterns matches a repository. "**" matches any number of whole components, also none; "*" any run of
 * characters within one component; all else is literal. "acme/**" matches "acme/a/b", "acme/*" does not.
 *
 * Without a repository only the pattern "**" itself matches: an entry bound to places says nothing about no place.
 */
export function matchesRepository(patterns: readonly string[], repository: string | undefined): boolean {
  if (repository === undefined) return patterns.includes("**");
  const components = repository.split("/");
  return patterns.some((pattern) => matchesPath(pattern.split("/"), components));
}

/** Whether an entry's scope covers this predicate type about an artifact in this repository. */
export function isInScope(scope: TrustScope, repository: string | undefined, predicateType: string): boolean {
  const ofType = scope.predicateTypes.some((type) => type === "*" || type === predicateType);
  return ofType && matchesRepository(scope.repositories, repository);
}

/** The entry's key. Throws `trust-invalid` if the entry is inconsistent: that is no verdict about any evidence. */
export function trustedKey(entry: TrustEntry): PublicKey {
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
  const members = new Members(json, "trust", "trust-invalid").only(["mediaType", "org", "version", "entries", "logs"]);
  if (members.string("mediaType", LIMITS.typeLength) !== TRUST_MEDIA_TYPE)
    throw members.wrong("mediaType", "is not supported");
  const org = members.string("org", LIMITS.typeLength);
  const version = members.count("version");
  const entries = members.array("entries", LIMITS.trustEntries).map((value, index) => {
    return readEntry(new Members(value, `trust.entries[${index}]`, "trust-invalid"));
  });
  if (new Set(entries.map((entry) => entry.id)).size !== entries.length)
    throw members.wrong("entries", "repeats an id");
  const logs = members.strings("logs", LIMITS.trustEntries, 8_192);
  for (const vkey of logs) readVkey(vkey);
  return { org, version, entries, logs };
}

/** The JSON file that {@link parseTrustFile} reads: what `assay` exports for offline use. Throws as it does. */
export function formatTrustFile(trust: TrustVersion): Uint8Array {
  const { org, version, entries, logs } = trust;
  const bytes = utf8Encode(
    `${JSON.stringify({ mediaType: TRUST_MEDIA_TYPE, org, version, entries, logs }, null, 2)}\n`,
  );
  parseTrustFile(bytes);
  return bytes;
}

const ENTRY_MEMBERS = ["id", "name", "publicKeyPem", "keyId", "scope", "validFrom", "validUntil", "primary"];

function readEntry(members: Members): TrustEntry {
  members.only(ENTRY_MEMBERS);
  const scope = members.object("scope").only(["repositories", "predicateTypes"]);
  const entry: TrustEntry = {
    id: members.string("id", LIMITS.typeLength),
    name: members.string("name", LIMITS.typeLength),
    publicKeyPem: members.string("publicKeyPem", LIMITS.pemLength),
    keyId: members.string("keyId", 64),
    scope: {
      repositories: scope.strings("repositories", LIMITS.scopePatterns, LIMITS.repositoryLength),
      predicateTypes: scope.strings("predicateTypes", LIMITS.scopePatterns, LIMITS.typeLength),
    },
    validFrom: members.get("validFrom") === null ? null : members.count("validFrom"),
    validUntil: members.get("validUntil") === null ? null : members.count("validUntil"),
    primary: members.boolean("primary"),
  };
  trustedKey(entry);
  return entry;
}

function readVkey(vkey: string): void {
  try {
    parseVkey(vkey);
  } catch (cause) {
    throw new EvidenceError("trust-invalid", "trust.logs holds something other than note keys.", { cause });
  }
}

/** Patterns against components, remembering only the last "**": linear in their product, never exponential. */
function matchesPath(pattern: readonly string[], components: readonly string[]): boolean {
  return matchSequence(
    pattern,
    components,
    (part) => part === "**",
    (part, component) => {
      return matchSequence(
        [...part],
        [...component],
        (character) => character === "*",
        (a, b) => a === b,
      );
    },
  );
}

/** Greedy wildcard match with one point of return: the classic algorithm, over any kind of element. */
function matchSequence(
  pattern: readonly string[],
  text: readonly string[],
  isWild: (part: string) => boolean,
  fits: (part: string, element: string) => boolean,
): boolean {
  let p = 0;
  let t = 0;
  let lastWild = -1;
  let resume = 0;
  while (t < text.length) {
    const part = pattern[p];
    const element = text[t] ?? "";
    if (part !== undefined && isWild(part)) {
      lastWild = p++;
      resume = t;
    } else if (part !== undefined && fits(part, element)) {
      p++;
      t++;
    } else if (lastWild >= 0) {
      p = lastWild + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return pattern.slice(p).every(isWild);
}
