/**
 * Writes what the private stack and the real clients make into the evidence package's fixtures: `node interop/keyless/fixtures.ts`, then `biome format`. The unit tests
 * read it there, so that they need neither stack nor clients.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeHome } from "../harness.ts";
import { ARTIFACT, makeMaterial } from "./material.ts";
import { startRegistry } from "./registry.ts";
import { startStack } from "./stack.ts";

const target = fileURLToPath(new URL("../../packages/evidence/test/fixtures/sigstore/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "assay-stack-"));
const home = makeHome();
const stack = await startStack(folder);
const registry = await startRegistry();
try {
  // What is there only to be swapped with is of no use on its own.
  const material = (await makeMaterial(stack, home, registry.host)).filter(({ name }) => !name.includes("-other"));
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target);
  for (const { name, bytes } of material) writeFileSync(join(target, name), bytes);
  copyFileSync(stack.trustedRoot, join(target, "trusted_root.json"));
  for (const name of [ARTIFACT, "cosign.pub"]) copyFileSync(home.path(name), join(target, name));
  const list = material.map(({ name, artifact, identity }) => ({ name, artifact, identity }));
  writeFileSync(join(target, "material.json"), `${JSON.stringify(list, null, 2)}\n`);
} finally {
  await registry.stop();
  await stack.stop();
  home.remove();
  rmSync(folder, { recursive: true });
}
