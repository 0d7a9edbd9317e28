/** C2SP signed-note: a text, a blank line, and signature lines "— <name> <base64 of key hash and signature>". */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Crypto } from "./crypto.ts";
import { concatBytes, equalBytes, fromBase64, fromHex, toBase64, toHex, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { ed25519FromRaw } from "./keys.ts";
import { LIMITS } from "./limits.ts";

/** Signature type of plain Ed25519 notes: what {@link openNote} verifies. */
export const NOTE_ED25519 = 0x01;
/** Signature type of timestamped Ed25519 cosignatures (C2SP tlog-cosignature): what cosignature.ts verifies. */
export const NOTE_COSIGNATURE_ED25519 = 0x04;
/** Signature type of ML-DSA-44 subtree cosignatures (C2SP tlog-cosignature). Their keys are read; nothing here verifies them. */
export const NOTE_COSIGNATURE_ML_DSA_44 = 0x06;

/** A note verifier key: what a vkey text says. */
export type NoteKey = {
  readonly name: string;
  /** Signature type byte. Keys of types unknown here are read, but verify nothing. */
  readonly algorithm: number;
  /** First 4 bytes of SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key). A hint, not an identity. */
  readonly keyHash: Uint8Array;
  readonly publicKey: Uint8Array;
};

/** One signature line: by whom it claims to be, and the bytes. */
export type NoteSignature = { readonly name: string; readonly keyHash: Uint8Array; readonly signature: Uint8Array };

/** A note as parsed: nothing in it is verified. */
export type ParsedNote = { readonly text: string; readonly signatures: readonly NoteSignature[] };

/** A note that at least one of the given keys signed. */
export type OpenedNote = { readonly text: string; readonly verifiedBy: readonly NoteKey[] };

const KEY_HASH_SIZE = 4;
/** FIPS 204, table 2. */
const ML_DSA_44_KEY_SIZE = 1_312;
/** Names are not empty and hold neither white space nor plus: they must survive in vkeys and signature lines. */
const NAME = /^[^\s\u0085+\u0000-\u001f]{1,255}$/u;
const CONTROL_EXCEPT_NEWLINE = /[\u0000-\u0009\u000b-\u001f]/;
const VKEY = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/;
const SIGNATURE_LINE = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/;

/** A note key of the given parts. Throws `note-key-invalid`. */
export function noteKey(name: string, algorithm: number, publicKey: Uint8Array): NoteKey {
  if (!NAME.test(name))
    throw new EvidenceError("note-key-invalid", `Not a note key name: ${JSON.stringify(name.slice(0, 100))}.`);
  if (!Number.isInteger(algorithm) || algorithm < 1 || algorithm > 255) {
    throw new EvidenceError("note-key-invalid", `${algorithm} is not a note signature type.`);
  }
  if (publicKey.length === 0) throw new EvidenceError("note-key-invalid", "The public key is empty.");
  if (algorithm === NOTE_COSIGNATURE_ML_DSA_44 && publicKey.length !== ML_DSA_44_KEY_SIZE) {
    throw new EvidenceError("note-key-invalid", `An ML-DSA-44 key has ${ML_DSA_44_KEY_SIZE} bytes.`);
  }
  if (algorithm === NOTE_ED25519 || algorithm === NOTE_COSIGNATURE_ED25519) {
    try {
      ed25519FromRaw(publicKey);
    } catch (cause) {
      throw new EvidenceError("note-key-invalid", "The note key holds no valid Ed25519 key.", { cause });
    }
  }
  const input = concatBytes(utf8Encode(name), Uint8Array.of(0x0a, algorithm), publicKey);
  return { name, algorithm, keyHash: sha256(input).slice(0, KEY_HASH_SIZE), publicKey: Uint8Array.from(publicKey) };
}

/** The vkey text "name+hash+base64(type ‖ key)". Throws `note-key-invalid`. */
export function formatVkey(name: string, algorithm: number, publicKey: Uint8Array): string {
  const key = noteKey(name, algorithm, publicKey);
  return `${name}+${toHex(key.keyHash)}+${toBase64(concatBytes(Uint8Array.of(algorithm), publicKey))}`;
}

/** Reads a vkey text. Throws `note-key-invalid`. */
export function parseVkey(text: string): NoteKey {
  const [, name, hash, encoded] = (text.length > 8_192 ? null : VKEY.exec(text)) ?? [];
  if (name === undefined || hash === undefined || encoded === undefined) {
    throw new EvidenceError("note-key-invalid", "Not a note key of the form name+hash+key.");
  }
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(encoded);
  } catch (cause) {
    throw new EvidenceError("note-key-invalid", "The note key's third part is not base64.", { cause });
  }
  const key = noteKey(name, bytes[0] ?? 0, bytes.subarray(1));
  if (!equalBytes(key.keyHash, fromHex(hash))) {
    throw new EvidenceError("note-key-invalid", "The note key's hash does not match its name and key.");
  }
  return key;
}

/** The bytes a plain note signature is made over: the text itself, final newline included. Throws `note-invalid`. */
export function noteSignedBytes(text: string): Uint8Array {
  requireText(text);
  return utf8Encode(text);
}

/** A signature line (without newline) of `key`'s signature over {@link noteSignedBytes}. */
export function noteSignatureLine(key: Pick<NoteKey, "name" | "keyHash">, signature: Uint8Array): string {
  return `\u2014 ${key.name} ${toBase64(concatBytes(key.keyHash, signature))}`;
}

/** The note of a text and its signature lines. Throws `note-invalid` if it could not be read back. */
export function formatNote(text: string, signatureLines: readonly string[]): string {
  requireText(text);
  const note = `${text}\n${signatureLines.map((line) => `${line}\n`).join("")}`;
  parseNote(note);
  return note;
}

/** Splits a note into text and signatures, verifying nothing. Throws `note-invalid`, `too-large`. */
export function parseNote(note: string): ParsedNote {
  if (note.length > LIMITS.noteBytes)
    throw new EvidenceError("too-large", `A note has at most ${LIMITS.noteBytes} bytes.`);
  // The last blank line separates: the text itself may hold blank lines, signatures cannot.
  const split = note.lastIndexOf("\n\n");
  if (split < 0) throw new EvidenceError("note-invalid", "A note has a blank line before its signatures.");
  const text = note.slice(0, split + 1);
  const rest = note.slice(split + 2);
  requireText(text);
  if (!rest.endsWith("\n"))
    throw new EvidenceError("note-invalid", "A note has at least one signature and ends with a newline.");
  const lines = rest.slice(0, -1).split("\n");
  if (lines.length > LIMITS.noteSignatures) {
    throw new EvidenceError("too-large", `A note has at most ${LIMITS.noteSignatures} signatures.`);
  }
  return { text, signatures: lines.map(parseSignatureLine) };
}

/**
 * Opens a note with the keys one trusts. Signatures by other keys are ignored; a wrong signature under the name and hash of
 * a given key is an error (`note-signature-invalid`), as is a note that none of them signed (`note-unverified`).
 */
export async function openNote(crypto: Crypto, note: string, keys: readonly NoteKey[]): Promise<OpenedNote> {
  const { text, signatures } = parseNote(note);
  const signed = noteSignedBytes(text);
  const verifiedBy = new Set<NoteKey>();
  for (const { name, keyHash, signature } of signatures) {
    // Four bytes of hash can collide, so each key of that name and hash is asked; one of them must fit.
    const named = keys.filter(
      (key) => key.algorithm === NOTE_ED25519 && key.name === name && equalBytes(key.keyHash, keyHash),
    );
    if (named.length === 0) continue;
    let fits = false;
    for (const key of named) {
      if (await crypto.verify(ed25519FromRaw(key.publicKey), signature, signed)) {
        verifiedBy.add(key);
        fits = true;
      }
    }
    if (!fits) throw new EvidenceError("note-signature-invalid", `The signature of ${name} does not match the note.`);
  }
  if (verifiedBy.size === 0)
    throw new EvidenceError("note-unverified", "The note carries no signature by a key you trust.");
  return { text, verifiedBy: [...verifiedBy] };
}

function parseSignatureLine(line: string): NoteSignature {
  const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
  if (name === undefined || encoded === undefined || !NAME.test(name)) {
    throw new EvidenceError("note-invalid", "A signature line is not of the form — name base64.");
  }
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(encoded);
  } catch (cause) {
    throw new EvidenceError("note-invalid", "A signature line does not hold base64.", { cause });
  }
  if (bytes.length <= KEY_HASH_SIZE) throw new EvidenceError("note-invalid", "A signature line holds no signature.");
  return { name, keyHash: bytes.slice(0, KEY_HASH_SIZE), signature: bytes.slice(KEY_HASH_SIZE) };
}

function requireText(text: string): void {
  if (!text.endsWith("\n") || CONTROL_EXCEPT_NEWLINE.test(text) || !text.isWellFormed()) {
    throw new EvidenceError("note-invalid", "A note's text ends with a newline and holds no other control characters.");
  }
}
