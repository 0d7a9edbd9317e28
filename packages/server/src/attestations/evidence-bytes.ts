import { BUNDLE_MEDIA_TYPE, type Digest, IN_TOTO_PAYLOAD_TYPE } from "@assay/evidence";
import type { BlobStore } from "../storage/blobs.ts";
import type { EvidenceRow } from "./queries.ts";
import { MAX_EVIDENCE_BYTES } from "./reading.ts";
import { CONTAINER_TYPES, ENVELOPE_TYPE } from "./wrapping.ts";

type Kind = Pick<EvidenceRow, "form" | "wrapping">;

/** What the stored bytes of a piece are served as. Nothing a browser would run. */
export function mediaTypeOf({ form, wrapping }: Kind): string {
  if (form === "unreadable") return "application/octet-stream";
  if (form === "report") return IN_TOTO_PAYLOAD_TYPE;
  switch (wrapping) {
    case null:
      return BUNDLE_MEDIA_TYPE;
    case "envelope":
      return ENVELOPE_TYPE;
    case "cosign":
    case "blob-signature":
      return CONTAINER_TYPES[wrapping];
    case "openpgp":
    case "notation":
      // JSON or not, by the client that made it: only the bytes say.
      return "application/octet-stream";
  }
}

/** Whether a piece is a Sigstore bundle: what readers of GitHub's shape and of `.sigstore.json` know. */
export function isBundle({ form, wrapping }: Kind): boolean {
  return (form === "dsse" || form === "message-signature") && wrapping === null;
}

/** Whether a piece is a signed statement in JSON: what stands in the lines of an `.intoto.jsonl`. */
export function isStatement({ form, wrapping }: Kind): boolean {
  return form === "dsse" && (wrapping === null || wrapping === "envelope" || wrapping === "cosign");
}

/** Whether a piece is signed and could be read. */
export function isSigned({ form }: Kind): boolean {
  return form !== "report" && form !== "unreadable";
}

const LINE_END = /[\r\n]+/g;
const LINE_FEED = Buffer.from("\n");

/** Whether a JSON object stands in one line already, as most do: then its bytes are the line. */
function isLine(bytes: Buffer): boolean {
  return bytes[0] === 0x7b && bytes.at(-1) === 0x7d && !bytes.includes(0x0a) && !bytes.includes(0x0d);
}

/**
 * A piece as one line of JSON; undefined when it is not JSON (COSE, a clear-signed text). Inside JSON's texts no line end can stand
 * unescaped (RFC 8259 §7), so only blanks between values go.
 */
export async function jsonLine(blobs: Pick<BlobStore, "readSmall">, digest: Digest): Promise<Buffer | undefined> {
  const { buffer, byteOffset, byteLength } = await blobs.readSmall(digest, MAX_EVIDENCE_BYTES);
  const bytes = Buffer.from(buffer, byteOffset, byteLength);
  if (isLine(bytes)) return Buffer.concat([bytes, LINE_FEED]);
  const text = bytes.toString("utf8").trim();
  return text.startsWith("{") ? Buffer.from(`${text.replace(LINE_END, " ")}\n`, "utf8") : undefined;
}
