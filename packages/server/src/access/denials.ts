import type { RecordClient } from "../record/client.ts";
import { MAX_DENIALS_PER_FLUSH } from "./operations.ts";

const HOUR = 3_600_000;

/** How often counts go to the database, ms, and how many different ones wait in memory at most. */
const FLUSH_INTERVAL = 5_000;
const MAX_WAITING = 4096;

/** Stands for every identity and route once too many different ones wait: the count stays right, who and where is lost. */
const OTHERS = "(others)";

/** Who is counted when nobody proved who they are: a user name somebody typed is no identity. */
export const ANONYMOUS = "(anonymous)";

interface Denial {
  readonly identity: string;
  readonly route: string;
  readonly hour: number;
  count: number;
}

/**
 * Counts refused requests per identity, route and hour. They are no events (who has no identity never appends); they gather in
 * memory and go to the database every few seconds, so a flood of refusals costs one write.
 */
export class DenialCounter {
  readonly #record: Pick<RecordClient, "operate">;
  readonly #now: () => number;
  #waiting = new Map<string, Denial>();
  #timer: NodeJS.Timeout | undefined;

  constructor(record: Pick<RecordClient, "operate">, now: () => number) {
    this.#record = record;
    this.#now = now;
  }

  /** Counts one refusal. `route` is a pattern of ours, never a raw URL. */
  count(identity: string, route: string): void {
    const hour = Math.floor(this.#now() / HOUR);
    this.#add({ identity, route: route.slice(0, 256), hour, count: 1 });
    if (this.#timer === undefined) this.#timer = setTimeout(() => void this.#flushLater(), FLUSH_INTERVAL).unref();
  }

  /** Writes down what waits. @throws what the writer throws; what was not written goes on waiting. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const denials = [...this.#waiting.values()];
    this.#waiting = new Map();
    for (let start = 0; start < denials.length; start += MAX_DENIALS_PER_FLUSH) {
      const some = denials.slice(start, start + MAX_DENIALS_PER_FLUSH);
      try {
        await this.#record.operate("access.count-denials", { denials: some.map((denial) => ({ ...denial })) });
      } catch (error) {
        for (const denial of denials.slice(start)) this.#add(denial);
        throw error;
      }
    }
  }

  async #flushLater(): Promise<void> {
    try {
      await this.flush();
    } catch {
      // Counts are no facts: a busy or stopping writer keeps them waiting for the next refusal, or for the last flush, which throws.
    }
  }

  #add(denial: Denial): void {
    const key = JSON.stringify([denial.identity, denial.route, denial.hour]);
    const known = this.#waiting.get(key);
    if (known !== undefined) {
      known.count += denial.count;
    } else if (this.#waiting.size < MAX_WAITING || denial.identity === OTHERS) {
      this.#waiting.set(key, { ...denial });
    } else {
      this.#add({ ...denial, identity: OTHERS, route: OTHERS });
    }
  }
}
