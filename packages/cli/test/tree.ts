import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

/** A tree to be made on disk: text is a file, null an empty directory, {link} a link, {executable} a file to be run. */
export type TreeSpec = {
  readonly [path: string]: string | null | { readonly link: string } | { readonly executable: string };
};

/** A directory that is gone when the test is. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "assay-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Makes a tree named `name` in a temporary directory; answers the directory above it. */
export function makeTree(spec: TreeSpec, name = "t"): string {
  const above = temporaryFolder();
  const root = join(above, name);
  mkdirSync(root);
  for (const [path, content] of Object.entries(spec)) {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    if (content === null) mkdirSync(full, { recursive: true });
    else if (typeof content === "string") writeFileSync(full, content);
    else if ("link" in content) symlinkSync(content.link, full);
    else {
      writeFileSync(full, content.executable);
      chmodSync(full, 0o755);
    }
  }
  return above;
}
