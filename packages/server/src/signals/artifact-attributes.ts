import type { About } from "./about.ts";
import { packageUrl } from "./package-url.ts";
import type { Attributes } from "./tracing.ts";

/**
 * What a span says of the artifact it is about (OpenTelemetry semantic conventions, "Artifact attributes", development): the hash as bare
 * hexadecimal digits, as there; `oci.manifest.digest` with its algorithm.
 *
 * @param host the server's, as clients name it.
 */
export function artifactAttributes(about: About, host: string): Attributes {
  const { digest, repository, tag, attestation, manifest, org } = about;
  return {
    ...(org === undefined ? {} : { "assay.org": org }),
    ...(repository === undefined ? {} : { "assay.repository": repository }),
    ...(digest === undefined ? {} : { "artifact.hash": hexOf(digest) }),
    ...(digest !== undefined && manifest === true ? { "oci.manifest.digest": digest } : {}),
    ...(digest !== undefined && manifest === true && repository !== undefined
      ? { "artifact.purl": packageUrl(host, repository, digest) }
      : {}),
    ...(tag === undefined ? {} : { "artifact.version": tag }),
    ...(attestation === undefined
      ? {}
      : { "artifact.attestation.id": attestation, "artifact.attestation.hash": hexOf(attestation) }),
  };
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1);
}
