import {
  type Digest,
  EvidenceError,
  formatBlobSignature,
  formatOpenPgpSignature,
  readLocalBundle,
  readSignatureFile,
  recogniseOpenPgp,
} from "@assay/evidence";
import { Problem } from "../http/problem.ts";

/** Bytes of a detached signature as a client wrote it: base64 of 4096-bit RSA, several armoured OpenPGP signatures, cosign 2's local bundle. */
export const DETACHED_BYTES = 64 * 1024;

/** Characters of the certificate that came beside it. */
export const CERTIFICATE_LENGTH = 16 * 1024;

/** A signature that stands in a file of its own, and what it is said to be about. */
export interface Detached {
  /**
   * The signature file's bytes: armoured or binary OpenPGP, base64 text as cosign writes it, the bare signature, or the JSON of cosign 2's
   * `sign-blob --bundle`.
   */
  readonly signature: Uint8Array;
  readonly subject: Digest;
  /** PEM. */
  readonly certificate: string | undefined;
}

/**
 * The evidence that a detached signature is: a container, canonical JSON, so that the same signature about the same artifact is the same
 * evidence. What it says is not believed here, not even that it is a signature.
 *
 * @throws Problem 400 `signature-invalid`.
 */
export function detachedEvidence({ signature, subject, certificate }: Detached): Uint8Array {
  if (signature.length === 0 || signature.length > DETACHED_BYTES) {
    throw invalid(`a detached signature has 1 to ${DETACHED_BYTES} bytes`);
  }
  try {
    if (signature[0] === JSON_OBJECT) {
      if (certificate !== undefined) throw invalid("a bundle comes with its own certificate");
      return formatBlobSignature({ subject, ...readLocalBundle(signature) });
    }
    const openpgp = openPgpBytes(signature);
    if (openpgp === undefined) {
      const bare = readSignatureFile(signature);
      return formatBlobSignature({
        subject,
        signature: bare,
        ...(certificate === undefined ? {} : { certificate }),
      });
    }
    if (certificate !== undefined) throw invalid("an OpenPGP signature comes without a certificate");
    return formatOpenPgpSignature({ subject, signature: openpgp });
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause;
    throw invalid(cause.message, cause);
  }
}

const JSON_OBJECT = 0x7b;

/** The OpenPGP signature that a file is, or holds in base64; undefined when it is none. */
function openPgpBytes(file: Uint8Array): Uint8Array | undefined {
  if (recogniseOpenPgp(file) !== undefined) return file;
  const text = Buffer.from(file.buffer, file.byteOffset, file.byteLength).toString("latin1").trim();
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  return recogniseOpenPgp(bytes) === "binary" ? bytes : undefined;
}

function invalid(message: string, cause?: unknown): Problem {
  return new Problem(400, "signature-invalid", message, {
    hint: "send the signature file as it is: armoured or binary OpenPGP, the base64 that cosign writes, or its local bundle",
    cause,
  });
}
