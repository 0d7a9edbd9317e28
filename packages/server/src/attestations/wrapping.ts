import {
  BLOB_SIGNATURE_MEDIA_TYPE,
  COSIGN_SIGNATURE_MEDIA_TYPE,
  OPENPGP_SIGNATURE_MEDIA_TYPE,
  type UnverifiedEvidence,
} from "@assay/evidence";
import type { Wrapping } from "./piece.ts";

/** What the media types of Sigstore bundles, of every version, begin with. */
export const BUNDLE_FAMILY = "application/vnd.dev.sigstore.bundle";

/** A DSSE envelope by itself. */
export const ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json";

/** The containers of ours around what clients keep in several places. */
export const CONTAINER_TYPES = {
  cosign: COSIGN_SIGNATURE_MEDIA_TYPE,
  "blob-signature": BLOB_SIGNATURE_MEDIA_TYPE,
  openpgp: OPENPGP_SIGNATURE_MEDIA_TYPE,
} as const;

/** In what the signed content of evidence came; null: in a Sigstore bundle. */
export function wrappingOf(form: UnverifiedEvidence["form"]): Wrapping | null {
  return form === "bundle" ? null : form;
}
