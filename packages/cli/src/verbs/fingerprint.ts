import { type Command, Option } from "commander";
import { usageError } from "../errors.ts";
import { bytePath, displayPath, isUtf8, pathBytes } from "../fingerprint/bytepath.ts";
import { ContentHasher } from "../fingerprint/content.ts";
import { type DirectoryFingerprint, fingerprintDirectory } from "../fingerprint/directory.ts";
import { parseExcludeList } from "../fingerprint/exclusions.ts";
import { kindAt } from "../fingerprint/filesystem.ts";
import { STRUCTURE_FORMAT, type TreeEntry } from "../fingerprint/tree-digests.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";

type Options = { artifactType: ArtifactType; exclude: string[]; structure?: true };
export type ArtifactType = "file" | "dir" | "oci";

/** The option every verb has that takes a fingerprint of something. `what` is its argument as the verb's usage names it. */
export function artifactTypeOption(what = "SUBJECT"): Option {
  return new Option("-t, --artifact-type <type>", `what ${what} is`).choices(["file", "dir", "oci"]);
}

/** `--exclude`, as often as wanted, each a list separated by commas. */
export function excludeOption(what = "SUBJECT"): Option {
  return new Option("-x, --exclude <patterns>", `leave out what matches, relative to ${what} (dir only; * ? [a-z] **)`)
    .argParser((value: string, previous: string[]) => [...previous, ...parseExcludeList(value)])
    .default([], "");
}

export function define(command: Command, session: Session): void {
  command
    .argument("<path>", "the file, the directory, or the image ([host/]name:tag or @sha256:…; no host: the server's)")
    .addOption(artifactTypeOption("PATH").makeOptionMandatory())
    .addOption(excludeOption("PATH"))
    .option("--structure", `also the digest that binds names, types and modes (${STRUCTURE_FORMAT}; dir only)`)
    .addHelpText("after", "\nFingerprints of files, directories and images equal those of the Kosli CLI.")
    .action(async (path: string, options: Options) => {
      if (options.artifactType !== "dir" && (options.structure === true || options.exclude.length > 0)) {
        throw usageError("option-needs-dir", "--exclude and --structure are for --artifact-type dir only");
      }
      const answer = await fingerprint(session, path, options);
      session.output.result(answer.json, answer.text);
    });
}

type Answer = { json: JsonValue; text: string };

async function fingerprint(session: Session, path: string, options: Options): Promise<Answer> {
  switch (options.artifactType) {
    case "file": {
      const { sha256, size } = await fingerprintFile(session, path);
      return {
        json: { artifactType: "file", path, fingerprint: sha256, digest: `sha256:${sha256}`, size },
        text: sha256,
      };
    }
    case "dir":
      return directoryAnswer(session, path, options);
    case "oci": {
      const { fingerprintImage } = await import("../oci/fingerprint.ts");
      const image = await fingerprintImage(session, path);
      return { json: { artifactType: "oci", ...image }, text: image.fingerprint };
    }
  }
}

/** SHA-256 and size of one file (anything that can be read: a pipe too). */
export async function fingerprintFile(session: Session, path: string): Promise<{ sha256: string; size: number }> {
  const bytes = bytePath(path);
  if (kindAt(bytes, true) === "directory") {
    throw usageError("file-is-directory", `${path} is a directory`, "Use --artifact-type dir.");
  }
  const progress = session.progress("hashing", undefined);
  try {
    return await new ContentHasher(false, progress.add).hash(bytes, true);
  } finally {
    progress.done();
  }
}

/** The fingerprint of a directory; warnings go out at once. */
export async function fingerprintTree(
  session: Session,
  path: string,
  excludes: readonly string[],
  structure: boolean,
): Promise<DirectoryFingerprint> {
  const progress = session.progress("hashing", undefined);
  try {
    const found = await fingerprintDirectory(path, excludes, { structure, progress: progress.add });
    for (const { code, message } of found.warnings) session.output.warn(code, message);
    return found;
  } finally {
    progress.done();
  }
}

async function directoryAnswer(session: Session, path: string, options: Options): Promise<Answer> {
  const { fingerprint, structure, files, bytes } = await fingerprintTree(
    session,
    path,
    options.exclude,
    options.structure === true,
  );
  const json = { artifactType: "dir", path, fingerprint, digest: `sha256:${fingerprint}`, files, bytes };
  if (structure === undefined) return { json, text: fingerprint };
  const entries = structure.entries.map(entryJson);
  return {
    json: { ...json, structure: { format: STRUCTURE_FORMAT, digest: `sha256:${structure.digest}`, entries } },
    text: `${fingerprint}\n${STRUCTURE_FORMAT} sha256:${structure.digest}`,
  };
}

/** One line of the list of files; `pathBase64` only where the name is not UTF-8 and `path` thus cannot say it. */
function entryJson(entry: TreeEntry): JsonValue {
  const path = {
    path: displayPath(entry.path),
    ...(isUtf8(entry.path) ? {} : { pathBase64: pathBytes(entry.path).toString("base64") }),
  };
  switch (entry.kind) {
    case "file":
      return { type: "file", ...path, size: entry.size, executable: entry.executable, sha256: entry.content };
    case "directory":
      return { type: "directory", ...path };
    case "link":
      return { type: "link", ...path, target: displayPath(entry.target) };
  }
}
