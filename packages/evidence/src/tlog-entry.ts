/**
 * One entry of a Sigstore transparency log (sigstore/protobuf-specs: sigstore_rekor.proto, TransparencyLogEntry) and what it proves: that a
 * trusted log holds this very signature, and, where the log signed a time with it, since when.
 */
import type { Crypto } from "./crypto.ts";
import type { BundleVersion } from "./bundle.ts";
import { parseCheckpoint } from "./checkpoint.ts";
import { equalBytes, toBase64, toHex, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { Explanation } from "./explanation.ts";
import { canonicalJson } from "./jcs.ts";
import type { JsonObject } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { HASH_SIZE, leafHash, verifyInclusion } from "./merkle.ts";
import { noteSignedBytes, parseNote } from "./note.ts";
import { bodyKind, type LoggedSignature, rekorVersion, requireAbout } from "./tlog-body.ts";
import { isWithin, type LogKey } from "./trust-root.ts";
import type { Step } from "./verdict.ts";

/** An entry as read. Nothing in it is verified. */
export type LogEntry = {
  /** The index the log's whole service counts by; of Rekor v1 not that of the Merkle tree. */
  readonly index: number;
  readonly logId: Uint8Array;
  /** Seconds since 1970; 0 where the log gives none. Worth something only under a promise. */
  readonly integratedTime: number;
  /** The log's signature over body, time, log and index (Rekor v1: signed entry timestamp). */
  readonly promise: Uint8Array | undefined;
  readonly proof: InclusionProof | undefined;
  readonly body: Uint8Array;
};

/** Where the body stands in a tree, and the log's signed word about that tree. */
export type InclusionProof = {
  readonly index: number;
  readonly size: number;
  readonly root: Uint8Array;
  readonly hashes: readonly Uint8Array[];
  /** A signed note. */
  readonly checkpoint: string;
};

/**
 * Reads an entry. Members that protobuf's JSON leaves out because they are zero count as zero; null counts as left out.
 * Throws `bundle-invalid`, `bundle-unsupported`, `too-large` and the errors of `parseJson`.
 */
export function parseLogEntry(json: JsonObject): LogEntry {
  const members = new Members(withoutNulls(json), "tlogEntry", "bundle-invalid");
  members.only(ENTRY_MEMBERS, "bundle-unsupported");
  const body = members.bytes("canonicalizedBody", LIMITS.logEntryBytes);
  const stated = members.object("kindVersion").only(["kind", "version"], "bundle-unsupported");
  const { kind, version } = bodyKind(body);
  if (stated.string("kind", LIMITS.typeLength) !== kind || stated.string("version", LIMITS.typeLength) !== version)
    throw members.wrong("kindVersion", "is not that of the body");
  const promise = members.has("inclusionPromise")
    ? members.object("inclusionPromise").only(["signedEntryTimestamp"], "bundle-unsupported")
    : undefined;
  return {
    index: int64(members, "logIndex"),
    logId: members.object("logId").only(["keyId"], "bundle-unsupported").bytes("keyId", HASH_SIZE),
    integratedTime: int64(members, "integratedTime"),
    promise: promise?.bytes("signedEntryTimestamp", LIMITS.signatureBytes),
    proof: members.has("inclusionProof") ? readProof(members.object("inclusionProof")) : undefined,
    body,
  };
}

const ENTRY_MEMBERS = [
  "logIndex",
  "logId",
  "kindVersion",
  "integratedTime",
  "inclusionPromise",
  "inclusionProof",
  "canonicalizedBody",
];

function withoutNulls(json: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
}

function readProof(proof: Members): InclusionProof {
  proof.only(["logIndex", "rootHash", "treeSize", "hashes", "checkpoint"], "bundle-unsupported");
  // A tree of one leaf needs no hashes, and protobuf's JSON leaves empty lists out.
  const hashes = proof.has("hashes") ? proof.array("hashes", LIMITS.proofHashes) : [];
  return {
    index: int64(proof, "logIndex"),
    size: int64(proof, "treeSize"),
    root: proof.bytes("rootHash", HASH_SIZE),
    hashes: hashes.map((hash) =>
      new Members({ hash }, "tlogEntry.inclusionProof", "bundle-invalid").bytes("hash", HASH_SIZE),
    ),
    checkpoint: proof
      .object("checkpoint")
      .only(["envelope"], "bundle-unsupported")
      .string("envelope", LIMITS.noteBytes),
  };
}

const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;

/** protobuf's JSON writes 64-bit numbers as decimal text and leaves zero out. Indexes beyond 2^53 are refused, not rounded. */
function int64(members: Members, name: string): number {
  if (!members.has(name)) return 0;
  const text = members.string(name, 20);
  const value = Number(text);
  if (!DECIMAL.test(text) || !Number.isSafeInteger(value))
    throw members.wrong(name, "is not a whole number in decimal");
  return value;
}

/** What is asked of an entry. */
export type LogRequest = {
  /** The logs that are trusted. */
  readonly tlogs: readonly LogKey[];
  readonly logged: LoggedSignature;
  /** The version of the bundle it came in: 0.1 (and cosign 2) demand the inclusion promise, later ones the inclusion proof. */
  readonly version: BundleVersion;
  /** Proven moments of the signature, ms: what a log's key is held against if the entry itself proves no time. */
  readonly times: readonly number[];
};

export type LogAnswer =
  | {
      readonly ok: true;
      /** ms since 1970, proven by the log's signature; null if the log signs no times (Rekor v2) or there is no promise. */
      readonly time: number | null;
      /** Lower-case hex of the log's id: what tells logs apart when they are counted. */
      readonly log: string;
      /** The index as the log's service counts; only Rekor v1's promise and Rekor v2's proof cover it. */
      readonly index: number;
      readonly steps: readonly Step[];
    }
  | {
      readonly ok: false;
      readonly code: "log-entry-invalid";
      readonly message: string;
      /** Whether the entry is of a log that is trusted: if not, it was not evaluated. */
      readonly known: boolean;
      readonly steps: readonly Step[];
    };

/**
 * Verifies an entry: that its log is trusted, that it is about this signature, that the log promised or proves to hold it, and that the
 * log's key was in use then. Everything it carries must be good, not only what would suffice: a false part beside a true one means that
 * somebody put it together.
 */
export async function verifyLogEntry(crypto: Crypto, json: JsonObject, request: LogRequest): Promise<LogAnswer> {
  const explanation = new Explanation();
  const fail = (check: string, message: string, known: boolean): LogAnswer => {
    explanation[known ? "failed" : "notEvaluated"](check, message);
    return { ok: false, code: "log-entry-invalid", message, known, steps: explanation.steps };
  };
  let check = "log-entry-form";
  try {
    // 1. Read.
    const entry = parseLogEntry(json);
    const log = toHex(entry.logId);
    // 2. Log. One may be listed several times, with a key's windows.
    const keys = request.tlogs.filter(({ logId }) => equalBytes(logId, entry.logId));
    if (keys.length === 0) return fail("log", `The log ${log} is not one of the trusted ones.`, false);

    // 3. Binding.
    check = "log-entry-binding";
    requireAbout(entry.body, request.logged);
    explanation.passed(check, "The entry holds this content's digest, this signature and this signer.");

    // 4. The log's word: promise and proof, as far as they are there.
    const rekor = rekorVersion(bodyKind(entry.body));
    check = "log-inclusion";
    requireMaterial(entry, rekor, request.version);
    const time = entry.promise === undefined ? null : entry.integratedTime * 1000;
    if (entry.promise !== undefined) {
      check = "log-inclusion-promise";
      if (!(await isPromised(crypto, entry, entry.promise, keys)))
        return fail(check, "The log did not sign this entry, time and index.", true);
      explanation.passed(check, `The log signed the entry with index ${entry.index}.`);
    }
    if (entry.proof !== undefined) {
      check = "log-inclusion-proof";
      const problem = await proofProblem(crypto, entry.body, entry.proof, rekor, keys);
      if (problem !== undefined) return fail(check, problem, true);
      explanation.passed(
        check,
        `The entry is leaf ${entry.proof.index} of the ${entry.proof.size} that the log signed for.`,
      );
    }

    // 5. The log's key was in use then: at the time that the log signed, else at a time the signature is proven to have existed.
    const moments = time === null ? request.times : [time];
    if (moments.length > 0 && !moments.some((moment) => keys.some((key) => isWithin(key, moment))))
      return fail("log-key-validity", "The log's key was not in use when the entry was made.", true);
    return { ok: true, time, log, index: entry.index, steps: explanation.steps };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return fail(check, error.message, true);
  }
}

/** The entry carries what its bundle's version and its log's generation demand, and nothing that its log cannot have made. */
function requireMaterial(
  { index, integratedTime, promise, proof }: LogEntry,
  rekor: 1 | 2,
  version: BundleVersion,
): void {
  const wrong = (message: string): EvidenceError => new EvidenceError("bundle-invalid", message);
  if (version === "0.1" && promise === undefined) throw wrong("The entry has no inclusion promise.");
  if (rekor === 2) {
    if (promise !== undefined || integratedTime !== 0) throw wrong("A log of this kind signs no times.");
    if (proof === undefined) throw wrong("The entry has no inclusion proof.");
    if (proof.index !== index) throw wrong("The entry's index is not the one that is proven.");
    return;
  }
  if (version !== "0.1" && proof === undefined) throw wrong("The entry has no inclusion proof.");
}

/** Rekor v1's signed entry timestamp: over the canonical JSON of body, time, log and index (sigstore/rekor: openapi.yaml). */
async function isPromised(
  crypto: Crypto,
  entry: LogEntry,
  promise: Uint8Array,
  keys: readonly LogKey[],
): Promise<boolean> {
  const promised = utf8Encode(
    canonicalJson({
      body: toBase64(entry.body),
      integratedTime: entry.integratedTime,
      logID: toHex(entry.logId),
      logIndex: entry.index,
    }),
  );
  for (const { publicKey } of keys) if (await crypto.verify(publicKey, promise, promised)) return true;
  return false;
}

/** What is wrong with an inclusion proof; undefined if the log signed a tree that holds the body at that place. */
async function proofProblem(
  crypto: Crypto,
  body: Uint8Array,
  proof: InclusionProof,
  rekor: 1 | 2,
  keys: readonly LogKey[],
): Promise<string | undefined> {
  const { index, size, root, hashes } = proof;
  const note = parseNote(proof.checkpoint);
  const checkpoint = parseCheckpoint(note.text);
  if (checkpoint.size !== size || !equalBytes(checkpoint.root, root))
    return "The checkpoint is of another tree than the proof.";
  if (!verifyInclusion(crypto, { index, size, root, proof: hashes, leafHash: leafHash(crypto, body) }))
    return "The entry is not in the tree of the checkpoint.";
  const signed = noteSignedBytes(note.text);
  for (const key of keys) {
    // Rekor v2: a log's name is the host of its base URL, in the checkpoint and beside its signature. Rekor v1 adds a tree's number to the
    // first, and private instances answer to other names than their URL's: there the key tells, and the two names must agree.
    if (rekor === 2 && checkpoint.origin !== key.origin) continue;
    const named = note.signatures.filter(
      ({ name, keyHash }) =>
        (rekor === 2 ? name === key.origin : isTreeOf(name, checkpoint.origin)) && isKeyHash(crypto, keyHash, key),
    );
    for (const { signature } of named.slice(0, SIGNATURES_TRIED)) {
      // Signatures by witnesses, and a second one of the origin, say nothing for or against it.
      if (await crypto.verify(key.publicKey, signature, signed)) return undefined;
    }
  }
  return "The checkpoint is not signed by the log.";
}

/** Signatures of a note under the log's own name and key that are tried: a log makes one. */
const SIGNATURES_TRIED = 4;

/** Rekor v1's origin of a tree: "<name> - <tree id>". */
function isTreeOf(name: string, origin: string): boolean {
  return origin.startsWith(`${name} - `) && TREE_ID.test(origin.slice(name.length + 3));
}

const TREE_ID = /^[0-9]{1,20}$/;

/** The four bytes that name a key in a note: the first of its log id, which Rekor v1 derives from the key alone and v2 also from its name. */
function isKeyHash(crypto: Crypto, keyHash: Uint8Array, { logId, publicKey }: LogKey): boolean {
  return [logId, crypto.sha256(publicKey.spki)].some((id) => equalBytes(id.subarray(0, keyHash.length), keyHash));
}
