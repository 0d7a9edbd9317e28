const HOUR = 3_600_000;

/** How often counts go to the database, ms, and how many different ones wait in memory at most. */
const FLUSH_INTERVAL = 5_000;
const MAX_WAITING = 4096;

/** Stands for every identity and route once too many different ones wait: the count stays right, who and where is lost. */
const OTHERS = "(others)";

/** How often somebody did something in an hour. */
export interface HourCount {
  readonly identity: string;
  /** A pattern of ours, never a raw URL. */
  readonly route: string;
  /** Hours since the epoch. */
  readonly hour: number;
  readonly count: number;
}

/**
 * Counts per identity, route and hour. They gather in memory and go to the database every few seconds, so a flood of requests costs one
 * write.
 */
export class HourCounter {
  readonly #write: (counts: readonly HourCount[]) => Promise<unknown>;
  readonly #atOnce: number;
  readonly #now: () => number;
  #waiting = new Map<string, { -readonly [K in keyof HourCount]: HourCount[K] }>();
  #timer: NodeJS.Timeout | undefined;

  /** @param atOnce how many counts `write` takes. */
  constructor(write: (counts: readonly HourCount[]) => Promise<unknown>, atOnce: number, now: () => number) {
    this.#write = write;
    this.#atOnce = atOnce;
    this.#now = now;
  }

  /** Counts one. */
  count(identity: string, route: string): void {
    const hour = Math.floor(this.#now() / HOUR);
    this.#add({ identity, route: route.slice(0, 256), hour, count: 1 });
    if (this.#timer === undefined) this.#timer = setTimeout(() => void this.#flushLater(), FLUSH_INTERVAL).unref();
  }

  /** Writes down what waits. @throws what the writer throws; what was not written goes on waiting. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counts = [...this.#waiting.values()];
    this.#waiting = new Map();
    for (let start = 0; start < counts.length; start += this.#atOnce) {
      try {
        await this.#write(counts.slice(start, start + this.#atOnce).map((count) => ({ ...count })));
      } catch (error) {
        for (const count of counts.slice(start)) this.#add(count);
        throw error;
      }
    }
  }

  async #flushLater(): Promise<void> {
    try {
      await this.flush();
    } catch {
      // A busy or stopping writer keeps the counts waiting for the next one, or for the last flush, which throws.
    }
  }

  #add(added: HourCount): void {
    const key = JSON.stringify([added.identity, added.route, added.hour]);
    const known = this.#waiting.get(key);
    if (known !== undefined) {
      known.count += added.count;
    } else if (this.#waiting.size < MAX_WAITING || added.identity === OTHERS) {
      this.#waiting.set(key, { ...added });
    } else {
      this.#add({ ...added, identity: OTHERS, route: OTHERS });
    }
  }
}
