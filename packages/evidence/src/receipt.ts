/** Receipts of the record: proof, checkable offline, that an event stands at its place in a log one trusts. */
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { recordCommitment, SALT_SIZE } from "./commitment.ts";
import type { Crypto } from "./crypto.ts";
import type { Digest } from "./digest.ts";
import { equalBytes, fromBase64, fromHex, toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { type JsonObject, isJsonObject, type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { HASH_SIZE, leafHash, verifyInclusion } from "./merkle.ts";
import { type NoteKey, openNote } from "./note.ts";
import type { ProvenTime } from "./verdict.ts";

/** What the server answers to an accepted event. */
export type RecordReceipt = {
  /** The event's place in the record, which is its leaf index. */
  readonly sequence: number;
  /** Base64 of the 32-byte salt; absent together with `event` when the event is withheld or redacted. */
  readonly salt?: string | undefined;
  /** Base64 of the event's bytes. */
  readonly event?: string | undefined;
  /** Hex of the 32-byte commitment, the log's entry. */
  readonly commitment: string;
  /** Tree size that the proof and checkpoint are for. */
  readonly size: number;
  /** Hex of the hashes of the inclusion proof. */
  readonly proof: readonly string[];
  /** Signed note of the checkpoint. */
  readonly checkpoint: string;
  /** The sequence of the event that redacted this one, as the server says; proven by {@link verifyRedaction}. */
  readonly redacted?: number | undefined;
};

/** An event of the record, as its bytes say. */
export type RecordedEvent = {
  readonly actor: string;
  readonly body: JsonObject;
  readonly org: string;
  readonly orgSeq: number;
  /** Commitment of the organisation's previous event, in hex; null for its first. */
  readonly prev: string | null;
  /** ms since 1970: the record's own time, not the actor's claim. */
  readonly time: number;
  readonly type: string;
  readonly v: number;
};

/** A receipt that holds: this event stands at this place in the log of this checkpoint. */
export type VerifiedReceipt = {
  readonly event: RecordedEvent;
  /** The event's time, ms since 1970. */
  readonly time: number;
  readonly sequence: number;
  readonly checkpoint: Checkpoint;
  /** The trusted log keys that signed the checkpoint. */
  readonly verifiedBy: readonly NoteKey[];
};

/** A commitment that stands at its place in the log of this checkpoint, whatever the event under it said. */
export type VerifiedPlace = Pick<VerifiedReceipt, "sequence" | "checkpoint" | "verifiedBy"> & {
  /** The 32 bytes that the record committed to. */
  readonly commitment: Uint8Array;
};

/** A redaction that holds: the log took down, later, that these bytes stand for the event it had committed to. */
export type VerifiedRedaction = VerifiedPlace & {
  /** The event as it is shown since. Only what {@link fields} name may differ from what was recorded, says the redaction. */
  readonly event: RecordedEvent;
  /** JSON pointers (RFC 6901) into the event: the strings that were replaced. */
  readonly fields: readonly string[];
  readonly reason: string;
  /** The event that redacted it. */
  readonly redaction: VerifiedReceipt;
};

/**
 * Verifies that a receipt's commitment stands at its place in the log: checkpoint signature → origin → inclusion. It says nothing about
 * the event, and works for a receipt without one. Throws `receipt-invalid`, `receipt-unproven`, and what `openNote` and
 * `parseCheckpoint` throw.
 */
export async function verifyPlace(
  crypto: Crypto,
  receipt: RecordReceipt,
  logKeys: readonly NoteKey[],
): Promise<VerifiedPlace> {
  return await placeOf(crypto, receipt.checkpoint, decodeReceipt(receipt), logKeys);
}

/**
 * Verifies a receipt: checkpoint signature → origin → commitment of the event → inclusion. Throws `receipt-invalid` (not
 * a receipt), `receipt-unproven` (it does not prove its event), `receipt-withheld` (it carries no event), and what
 * `openNote` and `parseCheckpoint` throw.
 */
export async function verifyReceipt(
  crypto: Crypto,
  receipt: RecordReceipt,
  logKeys: readonly NoteKey[],
): Promise<VerifiedReceipt> {
  const decoded = decodeReceipt(receipt);
  const { sequence, checkpoint, commitment, verifiedBy } = await placeOf(crypto, receipt.checkpoint, decoded, logKeys);
  const { salt, event } = decoded;
  if (salt === undefined || event === undefined) {
    throw new EvidenceError("receipt-withheld", "The receipt proves a commitment but carries no event.");
  }
  if (!equalBytes(recordCommitment(crypto, salt, event), commitment)) {
    throw new EvidenceError("receipt-unproven", "The event is not the one that the record committed to.");
  }
  const recorded = parseEvent(event);
  return { event: recorded, time: recorded.time, sequence, checkpoint, verifiedBy };
}

/** The event by which a record puts other bytes in the place of earlier events' own. */
const EVENTS_REDACTED = "record.events-redacted";

/**
 * Verifies a redacted event as it is shown: its commitment stands in the log; a later event of the same log, whole and proven, names it
 * as redacted; and the bytes shown are those that event names by their SHA-256.
 *
 * What was there before is proven by nothing but a receipt from before the redaction, which goes on to verify.
 *
 * @param claim `receipt` is the redacted event's, `shown` the event's bytes as they are now (the canonical JSON of what a server
 *   shows), `redaction` the receipt of the redacting event.
 *
 * Throws as {@link verifyReceipt}; `receipt-unproven` also when the two do not belong together.
 */
export async function verifyRedaction(
  crypto: Crypto,
  claim: { readonly receipt: RecordReceipt; readonly shown: Uint8Array; readonly redaction: RecordReceipt },
  logKeys: readonly NoteKey[],
): Promise<VerifiedRedaction> {
  const place = await verifyPlace(crypto, claim.receipt, logKeys);
  const redaction = await verifyReceipt(crypto, claim.redaction, logKeys);
  if (redaction.event.type !== EVENTS_REDACTED || redaction.checkpoint.origin !== place.checkpoint.origin) {
    throw new EvidenceError("receipt-unproven", "What is to prove the redaction is no redaction of this log.");
  }
  // A record redacts only what it holds already: an earlier event cannot speak of a later one.
  if (redaction.sequence <= place.sequence) {
    throw new EvidenceError("receipt-unproven", "The redaction stands before the event it is to redact.");
  }
  const body = new Members(redaction.event.body, "redaction", "receipt-invalid");
  const named = body
    .array("redactions", LIMITS.redactions)
    .map((item) => new Members(item, "redaction", "receipt-invalid"));
  const own = named.find((item) => item.count("sequence") === place.sequence);
  if (own === undefined) {
    throw new EvidenceError("receipt-unproven", `The redaction does not name event ${place.sequence}.`);
  }
  if (own.string("digest", 2 * HASH_SIZE) !== toHex(crypto.sha256(claim.shown))) {
    throw new EvidenceError("receipt-unproven", "The event shown is not the one that the redaction put there.");
  }
  return {
    ...place,
    event: parseEvent(claim.shown),
    fields: own.strings("fields", LIMITS.redactedFields, LIMITS.redactionText),
    reason: body.string("reason", LIMITS.redactionText),
    redaction,
  };
}

async function placeOf(
  crypto: Crypto,
  note: string,
  { sequence, size, commitment, proof }: DecodedReceipt,
  logKeys: readonly NoteKey[],
): Promise<VerifiedPlace> {
  const opened = await openNote(crypto, note, logKeys);
  const checkpoint = parseCheckpoint(opened.text);
  // A log signs under its own origin; one trusted log must not speak for another.
  if (!opened.verifiedBy.some((key) => key.name === checkpoint.origin)) {
    throw new EvidenceError(
      "receipt-unproven",
      `The checkpoint of ${checkpoint.origin} is not signed by that log's own key.`,
    );
  }
  if (checkpoint.size !== size) {
    throw new EvidenceError(
      "receipt-unproven",
      `The receipt is for ${size} leaves, its checkpoint for ${checkpoint.size}.`,
    );
  }
  const claim = { index: sequence, size, leafHash: leafHash(crypto, commitment), proof, root: checkpoint.root };
  if (!verifyInclusion(crypto, claim)) {
    throw new EvidenceError("receipt-unproven", `The proof does not place the commitment at ${sequence} in the log.`);
  }
  return { sequence, commitment, checkpoint, verifiedBy: opened.verifiedBy };
}

/** The event by which a record takes evidence in. Later events may name the same evidence; they say nothing new about its age. */
const EVIDENCE_ADDED = "attestations.evidence-added";

/**
 * The proven time that a verified receipt gives to evidence: the record took the evidence in at that time or, when its event says that
 * the same signature had come before in another wrapping (`earlier`), at that one's. Undefined if the event is about something
 * else: a receipt proves the time of nothing but what its event took in.
 */
export function receiptTime(receipt: VerifiedReceipt, evidence: Digest): ProvenTime | undefined {
  const { event, sequence, checkpoint } = receipt;
  if (event.type !== EVIDENCE_ADDED || event.body["evidence"] !== evidence) return undefined;
  const first = firstTime(event);
  return first === undefined
    ? undefined
    : { source: "receipt", time: first, evidence: `record ${sequence} of ${checkpoint.origin}` };
}

/** When the record first had the signature; undefined if the event says so in a way that cannot be read. */
function firstTime({ body, time }: RecordedEvent): number | undefined {
  const earlier = body["earlier"];
  if (earlier === undefined || earlier === null) return time;
  const first = isJsonObject(earlier) ? earlier["time"] : undefined;
  return typeof first === "number" && Number.isSafeInteger(first) && first >= 0 && first <= time ? first : undefined;
}

/** Reads a receipt from parsed JSON, as a file or an answer holds it. Throws `receipt-invalid`. */
export function parseReceipt(value: JsonValue): RecordReceipt {
  const members = new Members(value, "receipt", "receipt-invalid");
  const optional = (name: "salt" | "event"): string | undefined =>
    members.get(name) === null ? undefined : members.optionalString(name, Math.ceil(LIMITS.eventBytes / 3) * 4);
  return {
    sequence: members.count("sequence"),
    salt: optional("salt"),
    event: optional("event"),
    commitment: members.string("commitment", 2 * HASH_SIZE),
    size: members.count("size"),
    proof: members.strings("proof", LIMITS.proofHashes, 2 * HASH_SIZE),
    checkpoint: members.string("checkpoint", LIMITS.noteBytes),
    ...(members.get("redacted") === undefined ? {} : { redacted: members.count("redacted") }),
  };
}

/** Reads an event's bytes. Throws `receipt-invalid` and the errors of `parseJson`. */
export function parseEvent(bytes: Uint8Array): RecordedEvent {
  const json = parseJson(bytes, { maxBytes: LIMITS.eventBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "event", "receipt-invalid");
  members.only(["actor", "body", "org", "orgSeq", "prev", "time", "type", "v"]);
  const body = members.get("body");
  if (!isJsonObject(body)) throw members.wrong("body", "is not an object");
  const prev = members.get("prev");
  if (prev !== null && (typeof prev !== "string" || !/^[0-9a-f]{64}$/.test(prev)))
    throw members.wrong("prev", "is not a commitment");
  return {
    actor: members.string("actor", LIMITS.typeLength),
    body,
    org: members.string("org", LIMITS.typeLength),
    orgSeq: members.count("orgSeq"),
    prev,
    time: members.count("time"),
    type: members.string("type", LIMITS.typeLength),
    v: members.count("v"),
  };
}

type DecodedReceipt = {
  readonly sequence: number;
  readonly size: number;
  readonly commitment: Uint8Array;
  readonly proof: readonly Uint8Array[];
  readonly salt: Uint8Array | undefined;
  readonly event: Uint8Array | undefined;
};

function decodeReceipt(receipt: RecordReceipt): DecodedReceipt {
  const { sequence, size } = receipt;
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(size) || sequence < 0 || sequence >= size) {
    throw new EvidenceError("receipt-invalid", `The receipt's sequence ${sequence} is not within its ${size} leaves.`);
  }
  if (receipt.proof.length > LIMITS.proofHashes)
    throw new EvidenceError("receipt-invalid", "The receipt's proof is too long.");
  if ((receipt.salt === undefined) !== (receipt.event === undefined)) {
    throw new EvidenceError("receipt-invalid", "A receipt carries event and salt together or neither.");
  }
  try {
    const salt = receipt.salt === undefined ? undefined : fromBase64(receipt.salt);
    if (salt !== undefined && salt.length !== SALT_SIZE)
      throw new EvidenceError("receipt-invalid", "The salt has the wrong size.");
    return {
      sequence,
      size,
      commitment: hash(receipt.commitment),
      proof: receipt.proof.map(hash),
      salt,
      event: receipt.event === undefined ? undefined : fromBase64(receipt.event),
    };
  } catch (cause) {
    if (!(cause instanceof EvidenceError) || cause.code === "receipt-invalid") throw cause;
    throw new EvidenceError("receipt-invalid", "The receipt holds something other than hex and base64 where it must.", {
      cause,
    });
  }
}

function hash(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  if (bytes.length !== HASH_SIZE)
    throw new EvidenceError("receipt-invalid", "A hash of the receipt has the wrong size.");
  return bytes;
}
