/**
 * OpenPGP signatures as evidence. A clear-signed text carries what it is about; a detached signature does not, so it is stored in a
 * container of ours that names the artifact. The container is trusted for nothing: the signature is checked over the artifact's bytes.
 */
import { type Digest, parseDigest } from "./digest.ts";
import { toBase64, utf8Encode } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { canonicalJson } from "./jcs.ts";
import { type JsonValue, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { lineText, nextLine } from "./openpgp-armor.ts";
import { CLEAR_SIGNED_HEAD } from "./openpgp-cleartext.ts";

export const OPENPGP_SIGNATURE_MEDIA_TYPE = "application/vnd.assay.openpgp-signature.v1+json";

/** A detached OpenPGP signature, and the artifact it is said to be over. */
export type OpenPgpSignature = {
  readonly subject: Digest;
  /** As made by the signer: binary or armoured. */
  readonly signature: Uint8Array;
};

/** Which form of OpenPGP signature bytes are; undefined if none. Looks at the first line, or the headers of packets: a reader may still refuse them. */
export function recogniseOpenPgp(bytes: Uint8Array): "clear-signed" | "armored" | "binary" | undefined {
  const line = nextLine(bytes.subarray(0, LIMITS.armorLineLength * 4), 0);
  if (line === undefined) return undefined;
  switch (lineText(bytes, line)) {
    case CLEAR_SIGNED_HEAD:
      return "clear-signed";
    case "-----BEGIN PGP SIGNATURE-----":
      return "armored";
    default:
      return areSignaturePackets(bytes) ? "binary" : undefined;
  }
}

/** Whether the bytes begin as a clear-signed text does. */
export function isClearSigned(bytes: Uint8Array): boolean {
  return recogniseOpenPgp(bytes) === "clear-signed";
}

/**
 * Whether the bytes are packets of tag 2 and nothing else, in formats of known length, each with a body that begins with a version we
 * know: RFC 9580 §4.2, §5.2. No text begins like it, and COSE's signatures do not either (0xd2). To their end, since a bare signature is
 * random bytes, and one Ed25519 signature in 6,000 begins like a packet; one in 2,000,000 ends like it too.
 */
function areSignaturePackets(bytes: Uint8Array): boolean {
  let at = 0;
  for (let packets = 0; at < bytes.length; packets++) {
    // So many are none by chance, and more than are read.
    if (packets === LIMITS.openPgpSignatures) return true;
    const body = packetBody(bytes, at);
    if (body === undefined || body.end > bytes.length || ![3, 4, 6].includes(bytes[body.start] ?? 0)) return false;
    at = body.end;
  }
  return at > 0;
}

/** Where the body of the signature packet lies whose header is at an offset; undefined if there is none, or of a length not known. */
function packetBody(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } | undefined {
  const number = (from: number, octets: number): number =>
    bytes.subarray(from, from + octets).reduce((value, octet) => value * 256 + octet, 0);
  const body = (header: number, length: number) => ({ start: at + header, end: at + header + length });
  switch (bytes[at]) {
    case 0xc2: {
      const length = bytes[at + 1] ?? 0;
      if (length < 192) return body(2, length);
      if (length < 224) return body(3, number(at + 1, 2) - (192 << 8) + 192);
      return length === 255 ? body(6, number(at + 2, 4)) : undefined;
    }
    case 0x88:
      return body(2, number(at + 1, 1));
    case 0x89:
      return body(3, number(at + 1, 2));
    case 0x8a:
      return body(5, number(at + 1, 4));
    default:
      return undefined;
  }
}

/** Reads the container of a detached signature. Throws `openpgp-invalid`, `too-large` and the errors of `parseJson`. */
export function parseOpenPgpSignature(bytes: Uint8Array): OpenPgpSignature {
  return readOpenPgpSignature(parseJson(bytes));
}

/** {@link parseOpenPgpSignature} of what is parsed already. */
export function readOpenPgpSignature(json: JsonValue): OpenPgpSignature {
  const members = new Members(json, "signature", "openpgp-invalid").only(["mediaType", "subject", "signature"]);
  if (members.string("mediaType", LIMITS.typeLength) !== OPENPGP_SIGNATURE_MEDIA_TYPE)
    throw members.wrong("mediaType", "is not supported");
  const subject = members.string("subject", LIMITS.typeLength);
  const signature = members.bytes("signature", LIMITS.openPgpBytes);
  const form = recogniseOpenPgp(signature);
  if (form !== "armored" && form !== "binary") throw members.wrong("signature", "is not a detached OpenPGP signature");
  try {
    return { subject: parseDigest(subject), signature };
  } catch (cause) {
    throw new EvidenceError("openpgp-invalid", "signature.subject is not a sha256 digest.", { cause });
  }
}

/** The container of a detached signature: canonical JSON, so that the same signature of the same artifact is one piece of evidence. Throws as its reader. */
export function formatOpenPgpSignature({ subject, signature }: OpenPgpSignature): Uint8Array {
  const bytes = utf8Encode(
    canonicalJson({ mediaType: OPENPGP_SIGNATURE_MEDIA_TYPE, subject, signature: toBase64(signature) }),
  );
  parseOpenPgpSignature(bytes);
  return bytes;
}
