/** Receipts of the record: proof, checkable offline, that an event stands at its place in a log one trusts. */
import { type Checkpoint, parseCheckpoint } from "./checkpoint.ts";
import { recordCommitment, SALT_SIZE } from "./commitment.ts";
import type { Crypto } from "./crypto.ts";
import type { Digest } from "./digest.ts";
import { equalBytes, fromBase64, fromHex } from "./encoding.ts";
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
  const { sequence, size, commitment, proof, salt, event } = decodeReceipt(receipt);

  const opened = await openNote(crypto, receipt.checkpoint, logKeys);
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

  if (salt === undefined || event === undefined) {
    throw new EvidenceError("receipt-withheld", "The receipt proves a commitment but carries no event.");
  }
  if (!equalBytes(recordCommitment(crypto, salt, event), commitment)) {
    throw new EvidenceError("receipt-unproven", "The event is not the one that the record committed to.");
  }
  const recorded = parseEvent(event);
  return { event: recorded, time: recorded.time, sequence, checkpoint, verifiedBy: opened.verifiedBy };
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
