import { stat } from "node:fs/promises";
import { type Digest, digestOf, isDigest, parseDigest, parseReference } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { fileError, systemCode, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { connect } from "../oci/connect.ts";
import { type Image, manifestReference, parseOwnImage } from "../oci/image.ts";
import { getManifest } from "../oci/manifests.ts";
import type { Session } from "../session.ts";
import type { Settings } from "../settings.ts";
import { type ArtifactType, fingerprintFile, fingerprintTree } from "../verbs/fingerprint.ts";

/** The artifact that a question is about. */
export type AskedSubject = {
  readonly digest: Digest;
  /** How it was named, and what that was: shown to people. */
  readonly named: string;
  /** The name of the server's repository as the reference has it (`app`, `org/app`); undefined for anything else. */
  readonly repository: string | undefined;
};

/** What kind of thing SUBJECT is, where that is not said: a digest, a file that is there, else an image reference. */
type SubjectKind = "digest" | ArtifactType;

/** The largest file whose bytes are held in memory, for signatures that are over the bytes themselves. */
const MAX_HELD = 512 << 20;

/**
 * The digest of SUBJECT; an image reference is resolved through its registry, once. Errors: those of the file
 * system, `reference-invalid`, those of the registry.
 */
export async function askedSubject(
  session: Session,
  subject: string,
  type: ArtifactType | undefined,
): Promise<AskedSubject> {
  const kind = await kindOf(subject, type);
  switch (kind) {
    case "digest":
      return { digest: parseDigest(subject), named: subject, repository: undefined };
    case "file": {
      const { sha256 } = await fingerprintFile(session, subject);
      return { digest: parseDigest(`sha256:${sha256}`), named: subject, repository: undefined };
    }
    case "dir": {
      const { fingerprint } = await fingerprintTree(session, subject, [], false);
      return { digest: parseDigest(`sha256:${fingerprint}`), named: subject, repository: undefined };
    }
    case "oci": {
      const settings = await session.settings();
      const image = parseOwnImage(subject, settings);
      const registry = await connect(session, image);
      const { digest } = await getManifest(registry, manifestReference(image));
      return { digest, named: subject, repository: repositoryHere(image, settings) };
    }
  }
}

/** As `askedSubject`, without any network: of an image only a reference with its digest will do. `bytes` where it is a file. */
export async function offlineSubject(
  session: Session,
  subject: string,
  type: ArtifactType | undefined,
): Promise<AskedSubject & { readonly bytes: Uint8Array | undefined }> {
  const kind = await kindOf(subject, type);
  if (kind === "file") {
    const { size } = await stat(subject).catch((error: unknown) => {
      throw fileError(subject, error);
    });
    if (size > MAX_HELD) return { ...(await askedSubject(session, subject, "file")), bytes: undefined };
    const bytes = await readInput(subject, MAX_HELD);
    return { digest: digestOf(nodeCrypto, bytes), named: subject, repository: undefined, bytes };
  }
  if (kind !== "oci") {
    const type = kind === "digest" ? undefined : kind;
    return { ...(await askedSubject(session, subject, type)), bytes: undefined };
  }
  const { digest } = parseReference(subject);
  if (digest === undefined) {
    throw usageError(
      "digest-missing",
      `${subject} is no file here, and offline an image can be asked about by its digest only`,
      "Name a file that exists, a digest (sha256:…), or the image as name@sha256:….",
    );
  }
  return { digest, named: subject, repository: undefined, bytes: undefined };
}

async function kindOf(subject: string, type: ArtifactType | undefined): Promise<SubjectKind> {
  if (isDigest(subject)) return "digest";
  if (type !== undefined) return type;
  try {
    const found = await stat(subject);
    if (found.isDirectory()) {
      throw usageError("subject-is-directory", `${subject} is a directory`, "Add --artifact-type dir, or name a file.");
    }
    return "file";
  } catch (error) {
    const code = systemCode(error);
    // What starts like a path can be no image.
    const isPath = /^\.{0,2}\//.test(subject);
    if ((code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") && !isPath) return "oci";
    throw fileError(subject, error);
  }
}

/** The repository's name as written, where the image lies in the server that is asked. */
function repositoryHere(image: Image, settings: Settings): string | undefined {
  if (settings.server === undefined || new URL(settings.server).host !== image.host) return undefined;
  return image.repository;
}
