import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type Digest,
  EvidenceError,
  isJsonObject,
  isNotationCose,
  LIMITS,
  parseDigest,
  parseJson,
  recogniseOpenPgp,
  utf8Decode,
} from "@assay/evidence";
import { type CliError, fileError, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import type { JsonValue } from "../output.ts";

/** Bytes of a signature file and of a certificate beside it: what the server takes. */
const SIGNATURE_BYTES = 64 * 1024;
const CERTIFICATE_BYTES = 16 * 1024;

/** Evidence as it is sent, and what it will be named by, where that is known here. */
export type GivenEvidence = {
  readonly body: { readonly [member: string]: JsonValue };
  /** The evidence's own bytes; undefined when the server makes a container of several files. */
  readonly bytes: Uint8Array | undefined;
};

/**
 * A file that is evidence by itself: a bundle, an envelope, a clear-signed text, a Notary signature. Which of them it is, the server says.
 * Errors: `bundle-invalid` (usage), those of the file system.
 */
export async function wholeEvidence(path: string): Promise<GivenEvidence> {
  const bytes = await readInput(path, LIMITS.bundleBytes);
  switch (recogniseOpenPgp(bytes)) {
    case "armored":
    case "binary":
      throw usageError(
        "usage",
        `${path} is a signature over another file`,
        `Add the file that it signs: assay evidence add --signature ${path} --artifact FILE`,
      );
    case "clear-signed":
      return { body: { bytes: Buffer.from(bytes).toString("base64") }, bytes };
    case undefined:
  }
  if (isNotationCose(bytes)) return { body: { bytes: Buffer.from(bytes).toString("base64") }, bytes };
  // As text the evidence keeps its bytes, and so its digest.
  return { body: { bundle: jsonText(path, bytes) }, bytes };
}

/** The text of a file that is at least a JSON object. Errors: `bundle-invalid` (usage). */
function jsonText(path: string, bytes: Uint8Array): string {
  try {
    const limits = { maxBytes: LIMITS.bundleBytes, maxDepth: LIMITS.jsonDepth };
    if (isJsonObject(parseJson(bytes, limits))) return utf8Decode(bytes);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    throw notABundle(path, error.message, insteadOfBundle(path, bytes));
  }
  throw notABundle(path, "it is no JSON object", insteadOfBundle(path, bytes));
}

/** What to do with a file that is no evidence by itself, told by what it looks like. */
function insteadOfBundle(path: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, 4096)).toString("latin1");
  if (text.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) return `Trust it: assay trust add NAME --gpg ${path}`;
  if (text.includes("-----BEGIN PUBLIC KEY-----")) return `Trust it: assay trust add NAME --key ${path}`;
  if (path.endsWith(".jsonl")) return `For a file of one piece a line: assay evidence import ${path}`;
  return "Name a Sigstore bundle, as written by `assay sign --bundle`, `assay attest --bundle` or cosign, or a DSSE envelope; a bare signature goes with --signature and --artifact.";
}

function notABundle(path: string, why: string, hint: string): CliError {
  return usageError("bundle-invalid", `${path} is not a bundle: ${why}`, hint);
}

/** A signature in a file of its own, about another file. Errors: `usage`, those of the file system. */
export async function detachedEvidence(options: {
  readonly signature: string;
  readonly artifact: string;
  readonly certificate?: string | undefined;
}): Promise<GivenEvidence> {
  const signature = await readInput(options.signature, SIGNATURE_BYTES);
  if (signature.length === 0) throw usageError("usage", `${options.signature} is empty`);
  const text = Buffer.from(signature).toString("latin1");
  const certificate =
    options.certificate === undefined ? undefined : utf8Decode(await readInput(options.certificate, CERTIFICATE_BYTES));
  return {
    body: {
      // Armour and base64 are text and stay as they are; anything else is carried in base64.
      signature: /^[\t\n\r -~]*$/.test(text) ? text : Buffer.from(signature).toString("base64"),
      subject: await fileDigest(options.artifact),
      ...(certificate === undefined ? {} : { certificate }),
    },
    bytes: undefined,
  };
}

/** The digest of a file of any size, read once. */
async function fileDigest(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (error) {
    throw fileError(path, error);
  }
  return parseDigest(`sha256:${hash.digest("hex")}`);
}
