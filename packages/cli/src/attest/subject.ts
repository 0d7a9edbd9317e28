import { basename, resolve } from "node:path";
import { type Digest, isDigest, parseDigest, type Subject } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { STRUCTURE_FORMAT } from "../fingerprint/tree-digests.ts";
import { connect } from "../oci/connect.ts";
import { type Image, manifestReference, parseImage, parseOwnImage } from "../oci/image.ts";
import { type FetchedManifest, getManifest } from "../oci/manifests.ts";
import type { Registry } from "../oci/registry.ts";
import type { Session } from "../session.ts";
import { type ArtifactType, fingerprintFile, fingerprintTree } from "../verbs/fingerprint.ts";

/** An artifact that something is to be said about. */
export type AttestedSubject = {
  readonly digest: Digest;
  readonly artifactType: ArtifactType | undefined;
  /** File name, directory name, or the image's name without tag; undefined for a bare digest. */
  readonly filename: string | undefined;
  /** For directories: the digest that binds names, types and modes. */
  readonly structure: { readonly format: string; readonly digest: Digest } | undefined;
  /** For images: where a bundle can be attached. */
  readonly image:
    | { readonly registry: Registry; readonly manifest: FetchedManifest; readonly reference: Image }
    | undefined;
};

/**
 * Finds out the digest of `subject`: "sha256:…" as it is, else by fingerprint of its type.
 * Errors: `artifact-type-missing`, and those of the fingerprints.
 */
export async function resolveSubject(
  session: Session,
  subject: string,
  artifactType: ArtifactType | undefined,
  excludes: readonly string[],
): Promise<AttestedSubject> {
  if (excludes.length > 0 && artifactType !== "dir") {
    throw usageError("option-needs-dir", "--exclude is for --artifact-type dir only");
  }
  if (isDigest(subject)) {
    return { digest: subject, artifactType, filename: undefined, structure: undefined, image: undefined };
  }
  switch (artifactType) {
    case undefined:
      throw usageError(
        "artifact-type-missing",
        `what kind of artifact is ${subject}?`,
        "Add --artifact-type file, dir or oci, or name the artifact by its digest (sha256:…).",
      );
    case "file": {
      const { sha256 } = await fingerprintFile(session, subject);
      return {
        digest: parseDigest(`sha256:${sha256}`),
        artifactType,
        filename: basename(subject),
        structure: undefined,
        image: undefined,
      };
    }
    case "dir": {
      const { fingerprint, structure } = await fingerprintTree(session, subject, excludes, true);
      return {
        digest: parseDigest(`sha256:${fingerprint}`),
        artifactType,
        filename: basename(resolve(subject)),
        structure:
          structure === undefined
            ? undefined
            : { format: STRUCTURE_FORMAT, digest: parseDigest(`sha256:${structure.digest}`) },
        image: undefined,
      };
    }
    case "oci": {
      const settings = await session.settings();
      const reference = settings.server === undefined ? parseImage(subject) : parseOwnImage(subject, settings);
      const registry = await connect(session, reference);
      const manifest = await getManifest(registry, manifestReference(reference));
      const filename = `${reference.host}/${reference.repository}`;
      return {
        digest: manifest.digest,
        artifactType,
        filename,
        structure: undefined,
        image: { registry, manifest, reference },
      };
    }
  }
}

/** The in-toto subject: name and sha256. */
export function statementSubject({ digest, filename }: AttestedSubject): Subject {
  const name = filename === undefined || filename === "" ? undefined : filename;
  return { ...(name === undefined ? {} : { name }), digest: { sha256: digest.slice("sha256:".length) } };
}
