/** One server's life on the simulated disk: what it did, what it promised and when, and the moments at which it could be ended. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Promised, promisedBy, type Write, WriteLoad } from "../../packages/server/test/write-load.ts";
import { putDown, SimulatedDisk } from "./disk.ts";
import type { Step, TimedStep } from "./steps.ts";
import { startTraced } from "./traced-server.ts";

/** Longer than a publication takes to begin (log/log.ts), ms. */
const QUIET_MS = 250;

/** Where crash states are put: in memory where there is any, because what is simulated need not be synced. */
export function memoryFolder(prefix: string): string {
  for (const folder of ["/dev/shm", "/tmp"]) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return mkdtempSync(join(folder, prefix));
  }
  throw new Error("there is no folder for temporary files");
}

/** One run of the server process. */
export interface Run {
  readonly steps: readonly TimedStep[];
  readonly writes: readonly Write[];
  /** Every file of the data directory when the process had ended. */
  readonly left: ReadonlyMap<string, Buffer>;
}

/** The files of a directory. */
export function readAll(directory: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(directory.length + 1);
    if (entry.isFile()) files.set(path, readFileSync(join(directory, path)));
  }
  return files;
}

/** Records one run, from start to SIGTERM, on what a crash (or nothing) left. `work` is given the load to write with. */
export async function record(
  files: ReadonlyMap<string, Buffer>,
  work: (load: WriteLoad) => Promise<void>,
): Promise<Run> {
  const folder = memoryFolder("assay-recording-");
  const directory = join(folder, "data");
  try {
    mkdirSync(directory, { mode: 0o700 });
    putDown(files, directory);
    const server = await startTraced(directory);
    const load = new WriteLoad(server.url);
    let failure: unknown;
    try {
      await work(load);
    } catch (error) {
      failure = error;
    }
    await sleep(QUIET_MS);
    const steps = await server.end("SIGTERM");
    if (failure !== undefined) throw new Error("the recorded server did not do as it was asked", { cause: failure });
    return { steps, writes: load.writes, left: readAll(directory) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A run, replayed step by step on a disk. */
export class Replay {
  readonly disk: SimulatedDisk;
  readonly #steps: readonly TimedStep[];
  readonly #writes: readonly Write[];
  readonly #before: readonly Promised[];
  readonly #turns = new Map<number, number>();
  readonly #asked = new Set<Write>();
  readonly #answered: Write[] = [];
  #next = 0;

  /** @param disk what the run before left, and `before` what it promised. */
  constructor(run: Run, disk = new SimulatedDisk(), before: readonly Promised[] = []) {
    this.disk = disk;
    this.#steps = run.steps;
    this.#writes = run.writes;
    this.#before = before;
  }

  get length(): number {
    return this.#steps.length;
  }

  /** Steps done. */
  get at(): number {
    return this.#next;
  }

  /** The next step's line in the trace. */
  get position(): number {
    return this.#steps[this.#next]?.position ?? Number.POSITIVE_INFINITY;
  }

  /** Does the next step. */
  step(): Step {
    const next = this.#steps[this.#next];
    if (next === undefined) throw new Error("the run is over");
    this.#next += 1;
    const { step } = next;
    this.disk.apply(step);
    if (step.kind === "accept") {
      const turn = this.#turns.get(step.client) ?? -1;
      this.#turns.set(step.client, turn + 1);
      const write = this.#write(step.client);
      if (write !== undefined) this.#asked.add(write);
    } else if (step.kind === "answer") {
      const write = this.#write(step.client);
      if (write !== undefined && write.status !== step.status) {
        throw new Error(`${write.door}: the client was answered ${write.status}, the trace has ${step.status}`);
      }
      if (write !== undefined && step.status < 300) this.#answered.push(write);
    }
    return step;
  }

  /** The descriptor that a sync is of. */
  syncing(sync: number): number {
    const found = this.#steps.find(({ step }) => step.kind === "sync-begin" && step.sync === sync)?.step;
    return found?.kind === "sync-begin" ? found.descriptor : -1;
  }

  /** The write whose connection this is; undefined for others (the test's own questions). */
  #write(client: number): Write | undefined {
    const turn = this.#turns.get(client);
    return this.#writes.find((write) => write.client === client && write.turn === turn);
  }

  /** Writes answered with success so far. */
  get answered(): readonly Write[] {
    return this.#answered;
  }

  /** What holds if the server ends here. */
  promised(): Promised[] {
    const removed = new Set([...this.#asked].map((write) => write.removes));
    return [
      ...this.#before.filter(
        (promise) => promise.kind !== "tag" || !removed.has(`${promise.repository}:${promise.tag}`),
      ),
      ...promisedBy(this.#answered, [...this.#asked]),
    ];
  }
}
