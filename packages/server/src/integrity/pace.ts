import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";

/** Work may run ahead of its rate by this long before it waits, ms: short waits cost more than they give. */
const AHEAD_MS = 50;

/** Work lets the process's other work have its turn after this long, ms: nobody who asks something should wait for it. */
const TURN_MS = 1;

/** How many times slower work goes while others are served. Not slower than that: it must come to its end on a server that is never idle. */
const POLITE = 8;

/** Keeps work at a rate, by making it wait. */
export class Pace {
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal;
  readonly #othersServed: () => boolean;
  /** When what was taken so far may have been done at the earliest. */
  #due = performance.now();
  /** When other work last had its turn. */
  #turned = this.#due;

  /**
   * @param signal ends a wait; what waits then goes on at once and must look at the signal itself.
   * @param othersServed whether the process is answering somebody at this moment.
   */
  constructor(bytesPerSecond: number, signal: AbortSignal, othersServed: () => boolean = () => false) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
    this.#othersServed = othersServed;
  }

  /** Resolves when the next bytes may be taken. */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    // What was not used while there was nothing to do is not made up for.
    const rate = this.#othersServed() ? this.#bytesPerSecond / POLITE : this.#bytesPerSecond;
    this.#due = Math.max(this.#due, now) + (bytes * 1000) / rate;
    if (this.#due - now >= AHEAD_MS) {
      await sleep(this.#due - now, undefined, { signal: this.#signal }).catch(() => undefined);
    } else if (now - this.#turned >= TURN_MS) {
      await turn();
    } else {
      return;
    }
    this.#turned = performance.now();
  }
}
