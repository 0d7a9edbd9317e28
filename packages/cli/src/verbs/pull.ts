import { lstat, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { putInPlace, removeIfThere, temporaryBeside } from "../atomic.ts";
import { fileError, systemCode, usageError } from "../errors.ts";
import { bytePath } from "../fingerprint/bytepath.ts";
import { ContentHasher } from "../fingerprint/content.ts";
import { readBlob } from "../oci/blobs.ts";
import { connect } from "../oci/connect.ts";
import { type ArtifactFile, readFileArtifact } from "../oci/file-artifact.ts";
import { formatImage, manifestReference, parseOwnImage } from "../oci/image.ts";
import { getManifest } from "../oci/manifests.ts";
import type { Registry } from "../oci/registry.ts";
import type { Session } from "../session.ts";

type Options = { into: string; overwrite?: true };

export function define(command: Command, session: Session): void {
  command
    .argument("<reference>", "[host/]name[:tag][@sha256:…]")
    .option("-o, --into <directory>", "where to write the files", ".")
    .option("--overwrite", "replace files that exist with other content")
    .action(async (reference: string, options: Options) => {
      const image = parseOwnImage(reference, await session.settings());
      const registry = await connect(session, image);
      const manifest = await getManifest(registry, manifestReference(image));
      const files = readFileArtifact(registry, manifest);
      await makeDirectory(options.into, true);
      const written = [];
      for (const file of files) {
        const path = await writeFile(session, registry, file, options);
        written.push({ ...file, path });
      }
      const source = formatImage({ ...image, digest: manifest.digest });
      session.output.result(
        { reference: source, digest: manifest.digest, files: written },
        written.map(({ path }) => path).join("\n"),
      );
    });
}

/** Downloads one file beside its place and gives it its name only when its size and digest are proven. */
async function writeFile(session: Session, registry: Registry, file: ArtifactFile, options: Options): Promise<string> {
  const parts = file.title.split("/");
  let folder = options.into;
  for (const part of parts.slice(0, -1)) {
    folder = join(folder, part);
    await makeDirectory(folder, false);
  }
  const path = join(folder, parts.at(-1) ?? "");
  if (await alreadyThere(path, file, options.overwrite === true)) return path;
  const progress = session.progress(file.title, file.size);
  const temporary = temporaryBeside(path);
  try {
    const handle = await open(temporary, "wx", 0o666);
    try {
      for await (const chunk of readBlob(registry, file.digest, file.size)) {
        await handle.writeFile(chunk);
        progress.add(chunk.length);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await putInPlace(temporary, path, options.overwrite !== true);
  } catch (error) {
    await removeIfThere(temporary);
    throw systemCode(error) === undefined ? error : fileError(path, error);
  } finally {
    progress.done();
  }
  return path;
}

/** True if the very content is there. Other content is replaced only when told to, and only where it is a file. */
async function alreadyThere(path: string, file: ArtifactFile, overwrite: boolean): Promise<boolean> {
  try {
    const found = await lstat(path);
    if (found.isFile()) {
      const same =
        found.size === file.size &&
        (await new ContentHasher().hash(bytePath(path), false)).sha256 === file.digest.slice(7);
      if (same || overwrite) return same;
    }
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw fileError(path, error);
  }
  throw usageError(
    "file-exists",
    `${path} exists with other content`,
    "Remove it, pull into another directory, or use --overwrite.",
  );
}

/** Makes a directory unless it is there. Below the chosen one a link is refused: it could lead anywhere. */
async function makeDirectory(path: string, chosen: boolean): Promise<void> {
  try {
    if (chosen) {
      await mkdir(path, { recursive: true });
      return;
    }
    await mkdir(path).catch((error: unknown) => {
      if (systemCode(error) !== "EEXIST") throw error;
    });
    if ((await lstat(path)).isDirectory()) return;
  } catch (error) {
    throw fileError(path, error);
  }
  throw usageError(
    "not-a-directory",
    `${path} is in the way: it is no directory`,
    "Remove it or pull into another directory.",
  );
}
