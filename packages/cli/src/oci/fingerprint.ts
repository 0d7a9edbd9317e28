import { digestHex } from "@assay/evidence";
import type { Session } from "../session.ts";
import { connect } from "./connect.ts";
import { formatImage, manifestReference, parseOwnImage } from "./image.ts";
import { getManifest } from "./manifests.ts";

/** The digest of the manifest (of the index, for an image of several platforms) that the registry serves for `reference`. */
export async function fingerprintImage(
  session: Session,
  reference: string,
): Promise<{ fingerprint: string; digest: string; reference: string; mediaType: string }> {
  const image = parseOwnImage(reference, await session.settings());
  const registry = await connect(session, image);
  const { digest, mediaType } = await getManifest(registry, manifestReference(image));
  return { fingerprint: digestHex(digest), digest, reference: formatImage({ ...image, digest }), mediaType };
}
