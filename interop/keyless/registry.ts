/** A registry on this machine that takes anything and keeps it in memory: crane's. */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../packages/server/test/free-port.ts";
import { clientProgram } from "../clients.ts";

export type Registry = { host: string; stop(): Promise<void> };

const START_LIMIT_MS = 10_000;

export async function startRegistry(): Promise<Registry> {
  const host = `127.0.0.1:${await freePort()}`;
  const child = spawn(clientProgram("crane"), ["registry", "serve", "--address", host], { stdio: "ignore" });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline) {
    const status = await fetch(`http://${host}/v2/`).then(
      (response) => response.status,
      () => 0,
    );
    if (status === 200) return { host, stop };
    await sleep(50);
  }
  await stop();
  throw new Error("the registry did not get ready");
}
