import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { freePort } from "../../packages/server/test/free-port.ts";
import { ROOT } from "../repository.ts";

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ status }) => status === 200,
    () => false,
  );
}

async function until(condition: () => Promise<boolean>, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (performance.now() < deadline) {
    if (await condition()) return true;
    await sleep(50);
  }
  return false;
}

it("`npm start` runs the service, and passes SIGTERM on to it", async () => {
  const data = mkdtempSync(join(tmpdir(), "assay-start-"));
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn("npm", ["start"], {
    cwd: fileURLToPath(ROOT),
    env: { ...process.env, ASSAY_LISTEN: listen, ASSAY_DATA: data },
    stdio: "ignore",
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  try {
    expect(await until(() => answers(`http://${listen}/readyz`), 20_000)).toBe(true);
  } finally {
    child.kill("SIGTERM");
  }
  // A shell between npm and the service would end alone and leave the service running.
  expect(await ended).toBe(0);
  expect(await answers(`http://${listen}/healthz`)).toBe(false);
  rmSync(data, { recursive: true });
}, 60_000);
