import { stat } from "node:fs/promises";
import { type Digest, digestOf, parseDigest, parseReference } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { fileError, usageError } from "../errors.ts";
import { readInput } from "../input.ts";
import { connect } from "../oci/connect.ts";
import { type Image, manifestReference, parseOwnImage } from "../oci/image.ts";
import { getManifest } from "../oci/manifests.ts";
import type { Session } from "../session.ts";
import type { Settings } from "../settings.ts";
import { type ArtifactType, fingerprintFile, fingerprintTree } from "../verbs/fingerprint.ts";
import { notHere, type SubjectKind, subjectKind } from "./kind.ts";

/** The artifact that a question is about. */
export type AskedSubject = {
  readonly digest: Digest;
  /** How it was named. */
  readonly named: string;
  /** What was found under that name. */
  readonly kind: SubjectKind;
  /** The server's repository that the reference names, as `place` answered; undefined for anything else. */
  readonly repository: string | undefined;
};

/** The largest file whose bytes are held in memory, for signatures that are over the bytes themselves. */
const MAX_HELD = 512 << 20;

/**
 * The digest of SUBJECT; an image reference is resolved through its registry, once. `place` is given the name of the server's
 * repository as the reference has it (`app`, `org/app`), before anything is fetched from there. Errors: those of the
 * file system, of `subjectKind`, of `place`, of the registry.
 */
export async function askedSubject(
  session: Session,
  subject: string,
  type: ArtifactType | undefined,
  place: (name: string) => Promise<string | undefined> = async () => undefined,
): Promise<AskedSubject> {
  const kind = await subjectKind(subject, type);
  const asked = { named: subject, kind, repository: undefined };
  switch (kind) {
    case "digest":
      return { ...asked, digest: parseDigest(subject) };
    case "file": {
      const { sha256 } = await fingerprintFile(session, subject);
      return { ...asked, digest: parseDigest(`sha256:${sha256}`) };
    }
    case "directory": {
      if (type === undefined) {
        throw usageError(
          "subject-is-directory",
          `${subject} is a directory`,
          "Add --artifact-type dir, or name a file.",
        );
      }
      const { fingerprint } = await fingerprintTree(session, subject, [], false);
      return { ...asked, digest: parseDigest(`sha256:${fingerprint}`) };
    }
    case "image": {
      const settings = await session.settings();
      try {
        const image = parseOwnImage(subject, settings);
        const name = nameHere(image, settings);
        const repository = name === undefined ? undefined : await place(name);
        const registry = await connect(session, image);
        const { digest } = await getManifest(registry, manifestReference(image));
        return { ...asked, digest, repository };
      } catch (error) {
        throw type === undefined ? notHere(subject, error) : error;
      }
    }
  }
}

/** As `askedSubject`, without any network: of an image only a reference with its digest will do. `bytes` where it is a file. */
export async function offlineSubject(
  session: Session,
  subject: string,
  type: ArtifactType | undefined,
): Promise<AskedSubject & { readonly bytes: Uint8Array | undefined }> {
  const kind = await subjectKind(subject, type);
  if (kind === "file") {
    const { size } = await stat(subject).catch((error: unknown) => {
      throw fileError(subject, error);
    });
    if (size > MAX_HELD) return { ...(await askedSubject(session, subject, "file")), bytes: undefined };
    const bytes = await readInput(subject, MAX_HELD);
    return { digest: digestOf(nodeCrypto, bytes), named: subject, kind, repository: undefined, bytes };
  }
  if (kind !== "image") return { ...(await askedSubject(session, subject, type)), bytes: undefined };
  const { digest } = parseReference(subject);
  if (digest === undefined) {
    throw usageError(
      "digest-missing",
      `${subject} is no file here, and offline an image can be asked about by its digest only`,
      "Name a file that exists, a digest (sha256:…), or the image as name@sha256:….",
    );
  }
  return { digest, named: subject, kind, repository: undefined, bytes: undefined };
}

/** The repository's name as written, where the image lies in the server that is asked. */
function nameHere(image: Image, settings: Settings): string | undefined {
  if (settings.server === undefined || new URL(settings.server).host !== image.host) return undefined;
  return image.repository;
}
