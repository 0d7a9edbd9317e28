import { isJsonObject, type JsonObject, parseJson } from "@assay/evidence";
import { type CryptoKey, importJWK } from "jose";
import { type EgressRules, guardedGet, type EgressLimits } from "../egress/guarded-get.ts";
import { ServerError } from "../errors.ts";

/** Bytes and time for each of an issuer's two documents, and how many keys are looked at. */
const DOCUMENT_LIMITS: EgressLimits = { timeoutMs: 5_000, maxBytes: 256 * 1024 };
const MAX_KEYS = 100;

/** How long an issuer's keys are used without asking again, ms: a key it takes back is believed no longer than this. */
const FRESH_MS = 10 * 60_000;

/** How soon it is asked again for a key that was not there, or after it gave no answer, ms: strangers make us ask no more often. */
const AGAIN_MS = 30_000;

/** The algorithms an outside token may be signed with (RFC 7518 §3.1, RFC 8037): asymmetric ones, and never `none`. */
export const OUTSIDE_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

export type OutsideAlgorithm = (typeof OUTSIDE_ALGORITHMS)[number];

interface KeySet {
  readonly keys: ReadonlyMap<string, JsonObject>;
  readonly fetched: number;
}

/** Fetches one of an issuer's documents. */
type Fetch = (url: string) => Promise<Uint8Array>;

/**
 * The keys of the issuers this server was told to believe, found as OpenID Connect Discovery 1.0 says: by the issuer's own document, from its
 * own address, and by no word of a token. They are kept for a bounded time.
 */
export class OutsideIssuers {
  readonly #issuers: ReadonlySet<string>;
  readonly #fetch: Fetch;
  readonly #now: () => number;
  readonly #sets = new Map<string, KeySet>();
  readonly #asked = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<KeySet>>();

  /** @param issuers exactly as their tokens spell them. */
  constructor(issuers: readonly string[], rules: EgressRules, now: () => number, fetch?: Fetch) {
    this.#issuers = new Set(issuers);
    this.#fetch = fetch ?? ((url) => guardedGet(url, rules, DOCUMENT_LIMITS));
    this.#now = now;
  }

  /** Whether tokens of this issuer are believed here at all. Character by character: a look-alike is another issuer. */
  believes(issuer: string): boolean {
    return this.#issuers.has(issuer);
  }

  /** The issuers, for people. */
  get names(): readonly string[] {
    return [...this.#issuers];
  }

  /**
   * The public key of this id of a believed issuer, made for this algorithm; undefined when it has none such.
   *
   * @throws ServerError `issuer-unavailable` when the issuer cannot be asked, or what it answers cannot be used.
   */
  async key(issuer: string, keyId: string, algorithm: OutsideAlgorithm): Promise<CryptoKey | undefined> {
    if (!this.believes(issuer)) return undefined;
    const set = await this.#freshSet(issuer);
    const found = set.keys.get(keyId) ?? (await this.#afterRotation(issuer, set))?.keys.get(keyId);
    return found === undefined ? undefined : await importKey(found, algorithm);
  }

  async #freshSet(issuer: string): Promise<KeySet> {
    const known = this.#sets.get(issuer);
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.#now() - known.fetched;
    if (known !== undefined && age >= 0 && age < FRESH_MS) return known;
    if (this.#askedLately(issuer) && !this.#underWay.has(issuer)) {
      throw unavailable(issuer, "it gave no good answer a moment ago", undefined);
    }
    return await this.#ask(issuer);
  }

  /** The keys anew, for a key that is not among those kept; undefined when they were asked for a moment ago. */
  async #afterRotation(issuer: string, known: KeySet): Promise<KeySet | undefined> {
    if (this.#askedLately(issuer)) {
      const current = this.#underWay.get(issuer);
      return current === undefined || this.#sets.get(issuer) !== known ? undefined : await current;
    }
    return await this.#ask(issuer);
  }

  #askedLately(issuer: string): boolean {
    const asked = this.#asked.get(issuer);
    return asked !== undefined && Math.abs(this.#now() - asked) < AGAIN_MS;
  }

  /** Asks the issuer, once for all who wait. */
  #ask(issuer: string): Promise<KeySet> {
    const running = this.#underWay.get(issuer);
    if (running !== undefined) return running;
    this.#asked.set(issuer, this.#now());
    const asking = this.#discover(issuer).finally(() => this.#underWay.delete(issuer));
    this.#underWay.set(issuer, asking);
    return asking;
  }

  async #discover(issuer: string): Promise<KeySet> {
    try {
      // OpenID Connect Discovery 1.0 §4: a slash at the end of the issuer is not doubled. §4.3: the document names exactly this issuer.
      const document = readObject(await this.#fetch(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`));
      if (document["issuer"] !== issuer) throw new Error("its discovery document is another issuer's");
      const address = document["jwks_uri"];
      if (typeof address !== "string") throw new Error("its discovery document names no jwks_uri");
      const { keys } = readObject(await this.#fetch(address));
      if (!Array.isArray(keys) || keys.length > MAX_KEYS)
        throw new Error(`its key set is no list of at most ${MAX_KEYS} keys`);
      const set: KeySet = { keys: keysById(keys.filter(isJsonObject)), fetched: this.#now() };
      this.#sets.set(issuer, set);
      return set;
    } catch (cause) {
      throw unavailable(issuer, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }
}

function unavailable(issuer: string, why: string, cause: unknown): ServerError {
  return new ServerError("issuer-unavailable", `the keys of ${issuer} cannot be had: ${why}`, {
    cause,
    hint: "try again in a minute; the operator can see whether this server reaches the issuer",
  });
}

function readObject(bytes: Uint8Array): JsonObject {
  const value = parseJson(bytes, { maxBytes: DOCUMENT_LIMITS.maxBytes, maxDepth: 16 });
  if (!isJsonObject(value)) throw new Error("its answer is no JSON object");
  return value;
}

/** Keys by their `kid` (RFC 7517 §4.5). An id that two of them have names neither. */
function keysById(keys: readonly JsonObject[]): Map<string, JsonObject> {
  const byId = new Map<string, JsonObject>();
  const twice = new Set<string>();
  for (const key of keys) {
    const id = key["kid"];
    if (typeof id !== "string" || id === "") continue;
    if (byId.has(id)) twice.add(id);
    byId.set(id, key);
  }
  for (const id of twice) byId.delete(id);
  return byId;
}

/** What a key is made of, by its type. Only these members are looked at: none of a private or a symmetric key. */
const MEMBERS: Readonly<Record<string, readonly string[]>> = {
  RSA: ["n", "e"],
  EC: ["crv", "x", "y"],
  OKP: ["crv", "x"],
};

/** The key for an algorithm; undefined when it is not for that one, or for encryption, or none at all. */
async function importKey(key: JsonObject, algorithm: OutsideAlgorithm): Promise<CryptoKey | undefined> {
  const { kty, use, alg } = key;
  if (typeof kty !== "string" || !Object.hasOwn(MEMBERS, kty)) return undefined;
  if (use !== undefined && use !== "sig") return undefined;
  if (alg !== undefined && alg !== algorithm) return undefined;
  const members: Record<string, string> = {};
  for (const member of MEMBERS[kty] ?? []) {
    const value = key[member];
    if (typeof value !== "string") return undefined;
    members[member] = value;
  }
  try {
    const imported = await importJWK({ kty, ...members }, algorithm);
    return imported instanceof Uint8Array ? undefined : imported;
  } catch {
    // Of another type than the algorithm's, or not on its curve: no key for it.
    return undefined;
  }
}
