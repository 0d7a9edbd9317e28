import { type Digest, isDigest } from "@assay/evidence";
import { OciError } from "./errors.ts";

/** The grammar of any digest (OCI image-spec, "Digests"). */
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

/**
 * Reads a digest from a path or query. This server names bytes by SHA-256 only.
 *
 * @throws OciError 400 `UNSUPPORTED` for a well-formed digest of another algorithm, 400 `DIGEST_INVALID` for anything else.
 */
export function readDigest(text: string): Digest {
  if (isDigest(text)) return text;
  const shown = JSON.stringify(text.slice(0, 200));
  if (ANY_DIGEST.test(text) && !text.startsWith("sha256:")) {
    throw new OciError(
      400,
      "UNSUPPORTED",
      `${shown} is a digest of an algorithm this registry does not support: use sha256`,
    );
  }
  throw new OciError(
    400,
    "DIGEST_INVALID",
    `${shown} is not a digest: write "sha256:" and 64 lower-case hexadecimal digits`,
  );
}
