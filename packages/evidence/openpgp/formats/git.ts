/**
 * Signed git objects. What is signed is the object's content without its signature: of a commit the header `gpgsig` (in SHA-256 repositories
 * `gpgsig-sha256`) is taken out with its continuation lines; of a tag the signature is the end of the message.
 * Source: git's Documentation/gitformat-signature.
 */
import { EvidenceError, lineAt, lineText } from "../../src/index.ts";

export type GitObject =
  | {
      readonly signed: "openpgp";
      /** The armoured signature, and the bytes that it is over: what an `OpenPgpPort` is asked about. */
      readonly signature: Uint8Array;
      readonly document: Uint8Array;
    }
  /** Signed in a way that is not evaluated: with an SSH key, or with an X.509 certificate. */
  | { readonly signed: "unsupported"; readonly by: "ssh" | "x509" | "unknown" }
  | { readonly signed: "not" };

/** Bytes of the largest object that is read: commits and tags are texts. */
const OBJECT_BYTES = 1024 * 1024;
const SPACE = 0x20;
const LF = 0x0a;
const DASH = 0x2d;

/**
 * Takes a commit or tag apart. `content` is the object's, without git's own head ("commit 123\0"), as `git cat-file` writes it. Throws
 * `openpgp-invalid` for an object with two signatures, `too-large`.
 */
export function readGitObject(kind: "commit" | "tag", content: Uint8Array): GitObject {
  if (content.length > OBJECT_BYTES) throw new EvidenceError("too-large", "The git object is too large.");
  const { signature, document } = kind === "commit" ? takeApartCommit(content) : takeApartTag(content);
  if (signature.length === 0) return { signed: "not" };
  switch (lineText(signature, lineAt(signature, 0))) {
    case "-----BEGIN PGP SIGNATURE-----":
      return { signed: "openpgp", signature, document };
    case "-----BEGIN SSH SIGNATURE-----":
      return { signed: "unsupported", by: "ssh" };
    case "-----BEGIN SIGNED MESSAGE-----":
      return { signed: "unsupported", by: "x509" };
    default:
      return { signed: "unsupported", by: "unknown" };
  }
}

type Parts = { readonly signature: Uint8Array; readonly document: Uint8Array };

/** Headers end at the first empty line; a line that begins with a space goes on with the header before it. */
function takeApartCommit(content: Uint8Array): Parts {
  const signature = new Collector(content.length);
  const document = new Collector(content.length);
  let signatures = 0;
  let inSignature = false;
  let at = 0;
  while (at < content.length && content[at] !== LF) {
    const end = content.indexOf(LF, at);
    const next = end < 0 ? content.length : end + 1;
    // What of the line belongs to the signature: a continuation is without its space, the header without its name.
    let value = at + 1;
    if (content[at] !== SPACE) {
      const name = headerName(content.subarray(at, next));
      value = at + name.length + 1;
      inSignature = name === "gpgsig" || name === "gpgsig-sha256";
      if (inSignature) signatures++;
    }
    if (inSignature) signature.add(content.subarray(value, next));
    else document.add(content.subarray(at, next));
    at = next;
  }
  if (signatures > 1) throw new EvidenceError("openpgp-invalid", "The commit has two signatures.");
  document.add(content.subarray(at));
  return { signature: signature.bytes, document: document.bytes };
}

/** Puts pieces of an object together again; there is never more of them than of the object. */
class Collector {
  readonly #buffer: Uint8Array;
  #length = 0;

  constructor(most: number) {
    this.#buffer = new Uint8Array(most);
  }

  add(part: Uint8Array): void {
    this.#buffer.set(part, this.#length);
    this.#length += part.length;
  }

  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }
}

function headerName(line: Uint8Array): string {
  const end = line.indexOf(SPACE);
  return end < 0 || end > 64 ? "" : String.fromCharCode(...line.subarray(0, end));
}

/** The signature of a tag begins at the last line that begins one (git's parse_signature). */
function takeApartTag(content: Uint8Array): Parts {
  let start = content.length;
  for (let at = 0; at < content.length; ) {
    const line = lineAt(content, at);
    const mayBegin = content[line.start] === DASH && content[line.start + 1] === DASH;
    if (mayBegin && SIGNATURE_HEADS.some((head) => startsWith(content, line.start, head))) start = line.start;
    at = line.next;
  }
  return { signature: content.subarray(start), document: content.subarray(0, start) };
}

const SIGNATURE_HEADS = [
  "-----BEGIN PGP SIGNATURE-----",
  "-----BEGIN PGP MESSAGE-----",
  "-----BEGIN SIGNED MESSAGE-----",
  "-----BEGIN SSH SIGNATURE-----",
].map((head) => new TextEncoder().encode(head));

function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  return at + prefix.length <= bytes.length && prefix.every((byte, i) => bytes[at + i] === byte);
}
