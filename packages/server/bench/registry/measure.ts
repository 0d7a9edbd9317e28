import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Done, Task, Work } from "./driver.ts";
import { SCOPES } from "./fill.ts";
import type { Registry } from "./servers.ts";

/** Requests under way at once, each on a connection of its own that is kept. */
export const CONNECTIONS = Number(process.env["ASSAY_BENCH_CONNECTIONS"] ?? 8);
const SECONDS = Number(process.env["ASSAY_BENCH_SECONDS"] ?? 2);
const ROUNDS = Number(process.env["ASSAY_BENCH_ROUNDS"] ?? 3);
/** A server that has been asked for a while has its code compiled: both are asked as long before. */
const WARM_UP_MS = 3_000;

/** The process that asks. */
export class Driver {
  readonly #child: ChildProcess = fork(fileURLToPath(new URL("./driver.ts", import.meta.url)));

  drive(task: Task): Promise<Done> {
    return new Promise((resolve, reject) => {
      this.#child.once("message", (message: { done: Done } | { failed: string }) => {
        if ("done" in message) resolve(message.done);
        else reject(new Error(message.failed));
      });
      this.#child.send(task);
    });
  }

  stop(): void {
    this.#child.kill();
  }
}

/** What was seen of one side. */
export interface Side {
  readonly perSecond: number;
  readonly mibPerSecond: number;
  /** The server's CPU, user and system, ms a request. */
  readonly cpuMs: number;
  /** How busy the driver was, of one core: near 1 it is what was measured. */
  readonly driver: number;
  readonly slowestMs: number;
}

/** A side of a comparison: which server is asked for what. */
export interface Contender {
  readonly registry: Registry;
  readonly work: Work;
}

/**
 * Asks two contenders in turn, some rounds each, so that what else the machine does meets both alike.
 *
 * @returns what was seen of each, over all rounds.
 */
export async function compare(driver: Driver, pair: readonly [Contender, Contender]): Promise<readonly [Side, Side]> {
  const sums = pair.map(() => ({ count: 0, bytes: 0, seconds: 0, cpu: 0, driver: 0, slowest: 0 }));
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [index, { registry, work }] of pair.entries()) {
      const authorization = await registry.authorization(SCOPES);
      const before = registry.cpuSeconds();
      const milliseconds = round === 0 ? WARM_UP_MS : SECONDS * 1000;
      const done = await driver.drive({
        port: registry.port,
        authorization,
        connections: CONNECTIONS,
        milliseconds,
        work,
      });
      const sum = sums[index];
      if (round === 0 || sum === undefined) continue;
      sum.count += done.count;
      sum.bytes += done.bytes;
      sum.seconds += done.seconds;
      sum.cpu += registry.cpuSeconds() - before;
      sum.driver += done.cpuSeconds;
      sum.slowest = Math.max(sum.slowest, done.slowest);
    }
  }
  const [first, second] = sums.map(
    (sum): Side => ({
      perSecond: sum.count / sum.seconds,
      mibPerSecond: sum.bytes / 1024 / 1024 / sum.seconds,
      cpuMs: (sum.cpu * 1000) / sum.count,
      driver: sum.driver / sum.seconds,
      slowestMs: sum.slowest,
    }),
  );
  if (first === undefined || second === undefined) throw new Error("two contenders give two sides");
  return [first, second];
}
