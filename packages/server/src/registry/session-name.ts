import { createHash, randomBytes } from "node:crypto";
import { SESSION_NAME_MS } from "./limits.ts";

/** Whose session, and in which repository: it is nobody else's, nowhere else. */
export interface SessionPlace {
  /** The actor that opens it. */
  readonly owner: string;
  readonly repository: string;
}

/** What sessions are called: UUIDs, as the standard wants them in locations (OCI distribution, "Pushing blobs"). */
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Hosts' clocks may be apart by this much, ms. */
const SKEW_MS = 5 * 60 * 1000;

/** Bytes of the time, and of all that the check is over. */
const TIME_BYTES = 6;
const CHECKED_BYTES = 12;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * Opens an upload session: gives it a name, and does nothing else. The name itself says when it was opened, and whose it is; so any host
 * finds it open, before and after a crash, and there is nothing to write down before its first byte, or to sweep when no byte comes.
 *
 * The check in it is no secret: who may push in a repository may open as many sessions there as they like, also under names of their own
 * making. What it keeps out is a name of somebody else's or of another repository, and what is no name at all.
 *
 * A UUID of version 8 (RFC 9562, section 5.8): 48 bits of time, 42 at random, 32 of SHA-256 over these, owner and repository.
 *
 * @param now ms since the epoch.
 */
export function openSession(place: SessionPlace, now: number): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(now, 0, TIME_BYTES);
  randomBytes(CHECKED_BYTES - TIME_BYTES).copy(bytes, TIME_BYTES);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  checkOf(bytes, place).copy(bytes, CHECKED_BYTES);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/**
 * Whether a name is that of a session which was opened here lately. Of one that nothing is known of otherwise it says that nothing was
 * written to it yet; or that it ended with all of its bytes in one request, and may as well be used again.
 *
 * @param now ms since the epoch.
 */
export function isOpened(id: string, place: SessionPlace, now: number): boolean {
  if (!UUID.test(id)) return false;
  const bytes = Buffer.from(id.replaceAll("-", ""), "hex");
  if ((bytes.readUInt8(6) & 0xf0) !== 0x80 || (bytes.readUInt8(8) & 0xc0) !== 0x80) return false;
  const age = now - bytes.readUIntBE(0, TIME_BYTES);
  if (age > SESSION_NAME_MS || age < -SKEW_MS) return false;
  return checkOf(bytes, place).equals(bytes.subarray(CHECKED_BYTES));
}

function checkOf(bytes: Buffer, { owner, repository }: SessionPlace): Buffer {
  // Neither can hold a zero byte: what is hashed has one reading.
  const hash = createHash("sha256").update("assay upload session\0").update(bytes.subarray(0, CHECKED_BYTES));
  return hash
    .update(`${owner}\0${repository}`)
    .digest()
    .subarray(0, 16 - CHECKED_BYTES);
}
