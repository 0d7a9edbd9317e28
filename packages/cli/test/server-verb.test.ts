import { spawn } from "node:child_process";
import { readdirSync, writeFileSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { freePort } from "./free-port.ts";
import { runAssay } from "./run.ts";
import { temporaryFolder } from "./tree.ts";

const ASSAY = fileURLToPath(new URL("../../../bin/assay", import.meta.url));

it("starts the service, passes signals and exit codes on, checks and rebuilds its data", async () => {
  const data = join(temporaryFolder(), "data");
  const port = await freePort();
  const env = { PATH: process.env["PATH"], ASSAY_ADMIN_TOKEN: "a-token-for-tests-only", ASSAY_LOG_LEVEL: "warn" };
  const child = spawn(process.execPath, [ASSAY, "server", "start", "--listen", `127.0.0.1:${port}`, "--data", data], {
    env,
  });
  let output = "";
  const ended = new Promise<number | string | null>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal)),
  );
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    void ended.then((code) => reject(new Error(`it ended with ${code}:\n${output}`)));
  });
  expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
  await expect(fetch(`http://127.0.0.1:${port}/readyz`)).rejects.toThrow("fetch failed");

  const sound = await runAssay(["server", "check", "--data", data, "--output", "json"]);
  expect(JSON.parse(sound.stdout)).toMatchObject({ ok: true, findings: [] });
  expect(sound.exit).toBe(0);
  expect((await runAssay(["server", "rebuild", "--data", data])).exit).toBe(0);

  // One flipped bit in a tile of the log.
  const tiles = join(data, "logs", "record");
  const tile = readdirSync(tiles, { recursive: true, encoding: "utf8" })
    .map((name) => join(tiles, name))
    .find((path) => path.includes("tile") && statSync(path).isFile() && statSync(path).size > 0);
  if (tile === undefined) throw new Error("the log has no tile");
  const bytes = readFileSync(tile);
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  writeFileSync(tile, bytes);
  expect((await runAssay(["server", "check", "--data", data])).exit).toBe(1);
  expect((await runAssay(["server", "check", "--no-such-flag"])).exit).toBe(2);
}, 60_000);
