/**
 * The thread that a parser runs in. It keeps what it works on in memory shared with its parent, so that an input that ends it, or never ends,
 * is known; and it judges the others itself: the error, the time on its own processor clock, the memory.
 */
import v8 from "node:v8";
import vm from "node:vm";
import { parentPort, workerData } from "node:worker_threads";
import { EvidenceError } from "../packages/evidence/src/index.ts";
import { crossed, GENERIC, MOST_BYTES, withToken } from "./mutations.ts";
import { Random } from "./random.ts";
import type { Groups, Parser } from "./targets.ts";

/** What is wrong with what a parser did. */
export type Failure = {
  readonly kind: "error" | "slow" | "memory" | "hang" | "crash";
  readonly parser: string;
  readonly message: string;
  readonly input: Uint8Array;
};

/** What the parent asks: a campaign of some seconds, or one input. */
export type Question =
  | { readonly seconds: number; readonly seed: number }
  | { readonly parser: string; readonly input: Uint8Array };

export type Answer = { readonly runs: number; readonly accepted: number; readonly failure: Failure | undefined };

/** Processor time of one input, ms. */
const SLOW_MS = 1_000;
/** Bytes that one input may allocate outside the heap, and that a campaign may leave behind in all. */
const EXTERNAL_BYTES = 128 * 1024 * 1024;
const LEFT_BYTES = 48 * 1024 * 1024;
const MEASURE_EVERY = 4_000;

const { targets, group, current } = workerData as { targets: string; group: string; current: SharedArrayBuffer };
const header = new Int32Array(current, 0, 4);
const buffer = new Uint8Array(current, 16);
const { GROUPS } = (await import(targets)) as { GROUPS: Groups };
const parsers = GROUPS[group] ?? [];

v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;

/** Heap and what hangs on it, after everything that nobody holds is gone. */
async function held(): Promise<number> {
  // Some memory is given back only between tasks, and by the collection after the one that found it free.
  await new Promise(setImmediate);
  collect();
  await new Promise(setImmediate);
  collect();
  const { used_heap_size, external_memory } = v8.getHeapStatistics();
  return used_heap_size + external_memory;
}

/** Bytes outside the heap; what nobody holds any more counts until the next collection. */
function external(): number {
  return v8.getHeapStatistics().external_memory;
}

/** What was left at the last collection. */
let uncollected = 0;

async function attempt(
  parser: Parser,
  input: Uint8Array,
): Promise<{ accepted: boolean; failure: Failure | undefined }> {
  // Layout: [index of the parser, length, count of inputs], so that the parent sees progress.
  header[0] = parsers.indexOf(parser);
  header[1] = input.length;
  buffer.set(input);
  Atomics.add(header, 2, 1);
  const failed = (kind: Failure["kind"], message: string): { accepted: boolean; failure: Failure } => ({
    accepted: false,
    failure: { kind, parser: parser.name, message, input },
  });
  if (external() - uncollected > EXTERNAL_BYTES / 2) {
    collect();
    uncollected = external();
  }
  const outside = external();
  const before = process.threadCpuUsage();
  let accepted = true;
  try {
    // A copy: a parser may keep or alter what it is given.
    await parser.run(input.slice());
  } catch (error) {
    accepted = false;
    if (!(error instanceof EvidenceError))
      return failed("error", error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { user, system } = process.threadCpuUsage(before);
  if ((user + system) / 1000 > SLOW_MS)
    return failed("slow", `took ${Math.round((user + system) / 1000)} ms of processor time`);
  const allocated = external() - outside;
  if (allocated > EXTERNAL_BYTES) return failed("memory", `allocated ${allocated} bytes outside the heap`);
  return { accepted, failure: undefined };
}

/** An input: a good one, damaged in one to five ways. */
function inputFor(parser: Parser, random: Random): Uint8Array {
  let bytes = random.of(parser.seeds);
  for (let times = random.of([1, 1, 1, 2, 3, 5]); times > 0; times--) {
    const kind = random.below(10);
    if (kind < 5 && parser.structural.length > 0) bytes = random.of(parser.structural)(bytes, random);
    else if (kind < 6 && parser.tokens.length > 0) bytes = withToken(bytes, random.of(parser.tokens), random);
    else if (kind < 7) bytes = crossed(bytes, random.of(parser.seeds), random);
    else bytes = random.of(GENERIC)(bytes, random);
    if (bytes.length > MOST_BYTES) bytes = bytes.subarray(0, MOST_BYTES);
  }
  return bytes;
}

async function campaign(seconds: number, seed: number): Promise<Answer> {
  const random = new Random(seed);
  let runs = 0;
  let accepted = 0;
  for (const parser of parsers) {
    for (const input of parser.seeds) {
      const { failure, ...result } = await attempt(parser, input);
      if (failure !== undefined) return { runs, accepted, failure };
      // Damage to what is refused already shows little.
      if (!result.accepted)
        throw new Error(`${parser.name} refuses seed ${parser.seeds.indexOf(input)}, which should be good`);
    }
  }
  let base: number | undefined;
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    const parser = random.of(parsers);
    const result = await attempt(parser, inputFor(parser, random));
    runs++;
    if (result.accepted) accepted++;
    if (result.failure !== undefined) return { runs, accepted, failure: result.failure };
    if (runs % MEASURE_EVERY === 0) {
      const now = await held();
      base ??= now;
      if (now - base > LEFT_BYTES) {
        const message = `${now - base} bytes more are held after ${runs} inputs than after ${MEASURE_EVERY}`;
        return {
          runs,
          accepted,
          failure: { kind: "memory", parser: "all of the group", message, input: new Uint8Array() },
        };
      }
    }
  }
  return { runs, accepted, failure: undefined };
}

parentPort?.on("message", (question: Question) => {
  void (async () => {
    if ("seconds" in question) return campaign(question.seconds, question.seed);
    const parser = parsers.find(({ name }) => name === question.parser);
    if (parser === undefined) throw new Error(`there is no parser ${question.parser} in ${group}`);
    const { accepted, failure } = await attempt(parser, question.input);
    return { runs: 1, accepted: accepted ? 1 : 0, failure };
  })().then(
    (answer) => parentPort?.postMessage(answer),
    // Thrown where the parent hears it: a fault of the harness is no finding.
    (error: unknown) =>
      setImmediate(() => {
        throw error;
      }),
  );
});
