import { basename, resolve } from "node:path";
import { type Digest, parseDigest, type Subject } from "@assay/evidence";
import { usageError } from "../errors.ts";
import { STRUCTURE_FORMAT } from "../fingerprint/tree-digests.ts";
import { notHere, subjectKind } from "../judging/kind.ts";
import { connect } from "../oci/connect.ts";
import { type Image, manifestReference, parseOwnImage } from "../oci/image.ts";
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
 * Finds out the digest of `subject`: "sha256:…" as it is, else by fingerprint of its type, which is guessed as every other verb
 * guesses it. Errors: `option-needs-dir`, `subject-is-directory`, and those of `subjectKind` and of the fingerprints.
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
  switch (await subjectKind(subject, artifactType)) {
    case "digest":
      return {
        digest: parseDigest(subject),
        artifactType,
        filename: undefined,
        structure: undefined,
        image: undefined,
      };
    case "file": {
      const { sha256 } = await fingerprintFile(session, subject);
      return {
        digest: parseDigest(`sha256:${sha256}`),
        artifactType: "file",
        filename: basename(subject),
        structure: undefined,
        image: undefined,
      };
    }
    case "directory": {
      if (artifactType === undefined) {
        throw usageError(
          "subject-is-directory",
          `${subject} is a directory`,
          "Add --artifact-type dir, or name a file.",
        );
      }
      const { fingerprint, structure } = await fingerprintTree(session, subject, excludes, true);
      return {
        digest: parseDigest(`sha256:${fingerprint}`),
        artifactType: "dir",
        filename: basename(resolve(subject)),
        structure:
          structure === undefined
            ? undefined
            : { format: STRUCTURE_FORMAT, digest: parseDigest(`sha256:${structure.digest}`) },
        image: undefined,
      };
    }
    case "image":
      try {
        return await resolveImage(session, subject);
      } catch (error) {
        throw artifactType === undefined ? notHere(subject, error) : error;
      }
  }
}

async function resolveImage(session: Session, subject: string): Promise<AttestedSubject> {
  const reference = parseOwnImage(subject, await session.settings());
  const registry = await connect(session, reference);
  const manifest = await getManifest(registry, manifestReference(reference));
  return {
    digest: manifest.digest,
    artifactType: "oci",
    filename: `${reference.host}/${reference.repository}`,
    structure: undefined,
    image: { registry, manifest, reference },
  };
}

/** The in-toto subject: name and sha256. */
export function statementSubject({ digest, filename }: AttestedSubject): Subject {
  const name = filename === undefined || filename === "" ? undefined : filename;
  return { ...(name === undefined ? {} : { name }), digest: { sha256: digest.slice("sha256:".length) } };
}
