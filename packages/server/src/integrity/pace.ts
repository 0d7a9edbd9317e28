import { setTimeout as sleep } from "node:timers/promises";

/** Work may run ahead of its rate by this long before it waits, ms: short waits cost more than they give. */
const AHEAD_MS = 50;

/** Keeps work at a rate, by making it wait. */
export class Pace {
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal;
  /** When what was taken so far may have been done at the earliest. */
  #due = performance.now();

  /** @param signal ends a wait; what waits then goes on at once and must look at the signal itself. */
  constructor(bytesPerSecond: number, signal: AbortSignal) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#signal = signal;
  }

  /** Resolves when the next bytes may be taken. */
  async take(bytes: number): Promise<void> {
    const now = performance.now();
    // What was not used while there was nothing to do is not made up for.
    this.#due = Math.max(this.#due, now) + (bytes * 1000) / this.#bytesPerSecond;
    if (this.#due - now < AHEAD_MS) return;
    await sleep(this.#due - now, undefined, { signal: this.#signal }).catch(() => undefined);
  }
}
