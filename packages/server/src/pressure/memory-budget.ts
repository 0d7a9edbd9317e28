import process from "node:process";
import { ServerError } from "../errors.ts";

/** How long a look at the process's memory is good for, ms. */
const LOOK_MS = 500;

/**
 * Bounds the memory that bodies take: the sum of what requests under way may hold of theirs, and the memory of the whole process.
 *
 * A body is refused before anything of it is read. One is always taken when no other is there: what is larger than the whole budget is
 * bounded by its route, and a process over its limit works its way down again, one body at a time.
 */
export class MemoryBudget {
  readonly #bodies: number;
  readonly #process: number;
  readonly #resident: () => number;
  readonly #now: () => number;
  #held = 0;
  #seen = { resident: 0, at: Number.NEGATIVE_INFINITY };

  /** @param limits bytes; `bodies`: of all bodies together, `process`: resident. 0: no limit. */
  constructor(
    limits: { readonly bodies: number; readonly process: number },
    measure: { readonly resident?: () => number; readonly now?: () => number } = {},
  ) {
    this.#bodies = limits.bodies;
    this.#process = limits.process;
    this.#resident = measure.resident ?? (() => process.memoryUsage.rss());
    this.#now = measure.now ?? (() => performance.now());
  }

  /** Bytes that bodies under way may hold. */
  get held(): number {
    return this.#held;
  }

  /**
   * Takes memory for a body of at most `bytes`.
   *
   * @returns what gives it back; harmless when called again.
   * @throws ServerError `memory-low`.
   */
  take(bytes: number): () => void {
    if (this.#held > 0 && bytes > 0) {
      if (this.#bodies > 0 && this.#held + bytes > this.#bodies)
        throw memoryLow("too many bodies are being read at once");
      if (this.#process > 0 && this.#residentNow() > this.#process) throw memoryLow("the server is short of memory");
    }
    this.#held += bytes;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#held -= bytes;
    };
  }

  #residentNow(): number {
    const at = this.#now();
    if (at - this.#seen.at >= LOOK_MS) this.#seen = { resident: this.#resident(), at };
    return this.#seen.resident;
  }
}

function memoryLow(message: string): ServerError {
  return new ServerError("memory-low", message, { hint: "try again in a moment" });
}
