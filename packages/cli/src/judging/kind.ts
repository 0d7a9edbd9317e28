import { stat } from "node:fs/promises";
import { EvidenceError, isDigest, parseReference } from "@assay/evidence";
import { CliError, fileError, systemCode, usageError } from "../errors.ts";

/** What a thing on the command line is, as answers name it. */
export type SubjectKind = "digest" | "file" | "directory" | "image";

/** The kinds that --artifact-type says. */
export const KIND_OF_TYPE = { file: "file", dir: "directory", oci: "image" } as const;

/**
 * What SUBJECT is: as said with `type`, else a digest, what is there of that name, else an image reference. What could be two
 * of these is refused, never guessed: a file put there under an image's name would answer in its place. `asImage` is how this
 * verb is told that the image is meant. Errors (usage): `digest-invalid`, `subject-ambiguous`, `subject-unknown`; those of the
 * file system.
 */
export async function subjectKind(
  subject: string,
  type: keyof typeof KIND_OF_TYPE | undefined,
  asImage = "add --artifact-type oci",
): Promise<SubjectKind> {
  if (isDigest(subject)) return "digest";
  if (type !== undefined) return KIND_OF_TYPE[type];
  if (/^sha256:/i.test(subject)) {
    throw usageError(
      "digest-invalid",
      `${JSON.stringify(subject)} is not a digest`,
      `A digest is sha256: and 64 lower-case hexadecimal digits. For a file of that name write ./${subject}.`,
    );
  }
  const found = await kindOfFile(subject);
  const isImage = isReference(subject);
  if (found === undefined) {
    if (isImage) return "image";
    throw usageError(
      "subject-unknown",
      `there is no file ${subject} here, and it cannot be the name of an image`,
      "Check the path. An image is written [host/]name:tag or [host/]name@sha256:….",
    );
  }
  // Without a tag or digest what is there is meant: else every file's name could be an image's.
  if (isImage && isExact(subject)) {
    throw usageError(
      "subject-ambiguous",
      `${subject} is a ${found} here, and could be an image as well`,
      `For the ${found} write ./${subject}; for the image ${asImage}.`,
    );
  }
  return found;
}

/** The error of looking for a guessed image that is not there: it may have been meant as a file. Others stay as they are. */
export function notHere(subject: string, error: unknown): unknown {
  if (!(error instanceof CliError)) return error;
  if (error.code !== "registry-not-found" && error.code !== "host-missing") return error;
  const isMissing = error.code === "registry-not-found";
  const second = isMissing ? `no image of that name (${error.message})` : "as an image it names no registry";
  return new CliError(error.code, `there is no file ${subject} here, and ${second}`, {
    exit: error.exit,
    hint: isMissing ? "Check the path, or the image's name and that your credentials may see it." : error.hint,
    cause: error,
  });
}

async function kindOfFile(subject: string): Promise<"file" | "directory" | undefined> {
  try {
    return (await stat(subject)).isDirectory() ? "directory" : "file";
  } catch (error) {
    const code = systemCode(error);
    // What starts like a path can be no image.
    const isPath = /^\.{0,2}\//.test(subject);
    if ((code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG") && !isPath) return undefined;
    throw fileError(subject, error);
  }
}

function isReference(subject: string): boolean {
  try {
    parseReference(subject);
    return true;
  } catch (error) {
    if (error instanceof EvidenceError) return false;
    throw error;
  }
}

function isExact(subject: string): boolean {
  const { tag, digest } = parseReference(subject);
  return tag !== undefined || digest !== undefined;
}
