import type { RecordClient } from "../record/client.ts";
import { REPEATS_PER_OPERATION } from "./operations.ts";

/** How often counts are written, ms. */
const FLUSH_MS = 10_000;

/** Different decisions that wait at most, while they cannot be written: repeats of others are then not counted. */
const MOST = 10_000;

/** Counts the repeats of decisions in memory, and writes them in one operation now and then. A crash loses what is not written. */
export class RepeatCounter {
  readonly #record: Pick<RecordClient, "operate">;
  readonly #failed: (error: unknown) => void;
  #waiting = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param failed hears of counts that could not be written; they wait on. */
  constructor(record: Pick<RecordClient, "operate">, failed: (error: unknown) => void) {
    this.#record = record;
    this.#failed = failed;
  }

  /** @param id a recorded decision that was asked for again. */
  count(id: string): void {
    this.#add(id, 1);
    this.#timer ??= setTimeout(() => {
      this.flush().catch(this.#failed);
    }, FLUSH_MS).unref();
  }

  /** Writes what waits. @throws what the writer throws. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = [...this.#waiting];
    this.#waiting = new Map();
    for (let at = 0; at < entries.length; at += REPEATS_PER_OPERATION) {
      const repeats = entries.slice(at, at + REPEATS_PER_OPERATION).map(([id, count]) => ({ id, count }));
      try {
        await this.#record.operate("gate.count-repeats", { repeats });
      } catch (error) {
        for (const [id, count] of entries.slice(at)) this.#add(id, count);
        throw error;
      }
    }
  }

  #add(id: string, count: number): void {
    const known = this.#waiting.get(id);
    if (known !== undefined || this.#waiting.size < MOST) this.#waiting.set(id, (known ?? 0) + count);
  }
}
