/** Runs a group's parsers in a thread with little memory, under watch; what is found is made as small as it can be found again. */
import { Worker } from "node:worker_threads";
import { MOST_BYTES } from "./mutations.ts";
import type { Groups } from "./targets.ts";
import type { Answer, Failure, Question } from "./worker.ts";

/** The thread's heap, MiB. */
const HEAP_MIB = 256;
/** With no new input begun for so long the thread hangs: far beyond a second, because the machine may be busy with something else. */
const HANG_MS = 20_000;
const MINIMISE_MS = 20_000;

/** One thread; a new one takes its place after it was ended by an input. */
export class Runner {
  readonly #targets: string;
  readonly #group: string;
  readonly #hangMs: number;
  readonly #current = new SharedArrayBuffer(16 + 2 * MOST_BYTES);
  #worker: Worker | undefined;

  /** @param targets the module that exports the groups as GROUPS. */
  constructor(targets: URL, group: string, { hangMs = HANG_MS }: { hangMs?: number } = {}) {
    this.#targets = targets.href;
    this.#group = group;
    this.#hangMs = hangMs;
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  /** The thread's answer; if it dies or hangs over an input, the failure that names it. */
  async ask(question: Question): Promise<Answer> {
    const { GROUPS } = (await import(this.#targets)) as { GROUPS: Groups };
    const worker = (this.#worker ??= new Worker(new URL("worker.ts", import.meta.url), {
      workerData: { targets: this.#targets, group: this.#group, current: this.#current },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
    }));
    const header = new Int32Array(this.#current, 0, 4);
    const count = (): number => Atomics.load(header, 2);
    const started = count();
    let seen = started;
    let at = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const onAnswer = (answer: Answer): void => resolve(answer);
    const failedBy = (kind: "hang" | "crash", message: string): void => {
      this.#worker = undefined;
      const parser = GROUPS[this.#group]?.[header[0] ?? 0]?.name ?? "";
      const input = new Uint8Array(this.#current, 16, header[1]).slice();
      resolve({ runs: count() - started, accepted: 0, failure: { kind, parser, message, input } });
    };
    const onError = (error: Error & { code?: string }): void => {
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") return failedBy("crash", `more than ${HEAP_MIB} MiB of heap`);
      this.#worker = undefined;
      reject(error);
    };
    const onExit = (code: number): void => failedBy("crash", `the thread ended with ${code}`);
    worker.on("message", onAnswer).on("error", onError).on("exit", onExit);
    const watch = setInterval(() => {
      if (count() !== seen) {
        seen = count();
        at = performance.now();
      } else if (performance.now() - at > this.#hangMs) {
        // What it still says while it ends is about the same input.
        worker.on("error", () => undefined);
        failedBy("hang", `no end after ${this.#hangMs / 1000} s`);
        void worker.terminate();
      }
    }, 250);
    worker.postMessage(question);
    try {
      return await promise;
    } finally {
      clearInterval(watch);
      worker.off("message", onAnswer).off("error", onError).off("exit", onExit);
    }
  }
}

/** The failure with parts of its input left out, as long as it stays one of the same kind; halves first, then less. */
export async function minimised(runner: Runner, failure: Failure): Promise<Failure> {
  let smallest = failure;
  const until = performance.now() + MINIMISE_MS;
  for (let size = smallest.input.length >> 1; size >= 1 && performance.now() < until; size >>= 1) {
    for (let at = 0; at < smallest.input.length && performance.now() < until; ) {
      const { input, parser, kind } = smallest;
      const shorter = Buffer.concat([input.subarray(0, at), input.subarray(at + size)]);
      const answer = await runner.ask({ parser, input: Uint8Array.from(shorter) });
      if (answer.failure?.kind === kind) smallest = answer.failure;
      else at += size;
    }
  }
  return smallest;
}

/** What to do with it, for the person who gets it. */
export function told(group: string, seed: number, { kind, parser, message, input }: Failure): string {
  return [
    `${group}: ${parser}: ${kind}: ${message}`,
    `found with ASSAY_SEED=${seed}; keep it: a line in fuzz/found/${group}.txt`,
    `${parser}\t${Buffer.from(input).toString("base64")}`,
  ].join("\n");
}
