import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { type Digest, parseDigest } from "@assay/evidence";
import type { Command } from "commander";
import { fileError, usageError } from "../errors.ts";
import { type BlobSource, pushBlob } from "../oci/blobs.ts";
import { connect } from "../oci/connect.ts";
import {
  type ArtifactFile,
  EMPTY_BLOB,
  FILES_TYPE,
  formatFileArtifact,
  isSafeTitle,
  requireDistinctTitles,
} from "../oci/file-artifact.ts";
import { formatImage, parseOwnImage } from "../oci/image.ts";
import { MANIFEST_TYPE, putManifest } from "../oci/manifests.ts";
import type { Session } from "../session.ts";
import { fingerprintFile } from "./fingerprint.ts";

type Options = { type: string; annotation: Map<string, string> };

export function define(command: Command, session: Session): void {
  command
    .argument("<file...>", "files, then where to: [host/]name[:tag]")
    .usage("[options] FILE... REF")
    .option("--type <media-type>", "the artifact's type", FILES_TYPE)
    .option("--annotation <name=value>", "a note in the manifest (repeatable)", collectPair, new Map())
    .addHelpText("after", "\nWithout a tag in REF the artifact is stored under its digest only.")
    .action(async (words: string[], options: Options) => {
      const reference = words.at(-1);
      const paths = words.slice(0, -1);
      if (reference === undefined || paths.length === 0) {
        throw usageError("usage", "name at least one file, then where to push it", "assay push FILE... host/name:tag");
      }
      await push(session, paths, reference, options);
    });
}

async function push(session: Session, paths: readonly string[], reference: string, options: Options): Promise<void> {
  const image = parseOwnImage(reference, await session.settings());
  if (image.digest !== undefined) {
    throw usageError("reference-has-digest", "the place to push to cannot name a digest", "Write host/name:tag.");
  }
  if (!/^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/i.test(options.type)) {
    throw usageError("usage", `--type ${options.type} is not a media type`);
  }
  requireDistinctTitles(paths.map((path) => basename(path)));
  const files: (ArtifactFile & { path: string })[] = [];
  for (const path of paths) {
    requireFile(path);
    const title = basename(path);
    if (!isSafeTitle(title)) {
      throw usageError(
        "file-name-unsafe",
        `a file named ${JSON.stringify(title)} cannot be stored: not every system could write it`,
        "Rename the file: no colon, backslash or control character. To push to that place, name a file before it.",
      );
    }
    const { sha256, size } = await fingerprintFile(session, path);
    files.push({ path, title, digest: parseDigest(`sha256:${sha256}`), size });
  }
  const registry = await connect(session, image);
  for (const file of files) {
    const progress = session.progress(file.title, file.size);
    try {
      await pushBlob(registry, fileBlob(file.path, file.digest, file.size), progress.add);
    } finally {
      progress.done();
    }
  }
  await pushBlob(registry, EMPTY_BLOB, () => undefined);
  const manifest = formatFileArtifact(files, options.type, options.annotation);
  const { digest } = await putManifest(registry, image.tag, MANIFEST_TYPE, manifest);
  const stored = formatImage({ ...image, digest });
  session.output.result(
    {
      reference: stored,
      digest,
      tag: image.tag,
      files: files.map(({ title, digest, size }) => ({ title, digest, size })),
    },
    stored,
  );
}

/** A file as something to upload; a file that changed meanwhile is refused by the registry, for its digest is wrong. */
export function fileBlob(path: string, digest: Digest, size: number): BlobSource {
  return { digest, size, open: (start) => createReadStream(path, { start, highWaterMark: 1 << 20 }) };
}

/** Only a regular file can be read twice. */
function requireFile(path: string): void {
  let isFile: boolean;
  try {
    isFile = statSync(path).isFile();
  } catch (error) {
    throw fileError(path, error);
  }
  if (!isFile)
    throw usageError("not-a-file", `${path} is not a regular file`, "Pack a directory into an archive first.");
}

/** `name=value`, repeatable; a name given twice is an error. */
export function collectPair(text: string, previous: Map<string, string>): Map<string, string> {
  const at = text.indexOf("=");
  if (at <= 0) throw usageError("usage", `${JSON.stringify(text)} is not name=value`);
  const name = text.slice(0, at);
  if (previous.has(name)) throw usageError("usage", `${JSON.stringify(name)} is given twice`);
  return new Map(previous).set(name, text.slice(at + 1));
}
