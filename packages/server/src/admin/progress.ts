/** Lines of progress come at most this often, ms. */
const EVERY_MS = 2_000;

/** Says how far a long piece of work is, how fast it goes and, where the whole is known, how long it still takes. */
export class Progress {
  readonly #tell: (line: string) => void;
  readonly #what: string;
  readonly #total: number | undefined;
  readonly #now: () => number;
  readonly #started: number;
  #told: number;
  #done = 0;

  /** @param total how much there is, if that is known. */
  constructor(tell: (line: string) => void, what: string, total?: number, now: () => number = Date.now) {
    this.#tell = tell;
    this.#what = what;
    this.#total = total;
    this.#now = now;
    this.#started = now();
    this.#told = this.#started;
  }

  /** @param fraction of the whole that is done, from 0 to 1, where it is known otherwise than by the count. */
  advance(count: number, fraction?: number): void {
    this.#done += count;
    const now = this.#now();
    if (now - this.#told < EVERY_MS) return;
    this.#told = now;
    const total = this.#total;
    const share = fraction ?? (total === undefined || total === 0 ? undefined : this.#done / total);
    const of = total === undefined ? "" : ` of ${total}`;
    const left =
      share === undefined || share <= 0
        ? ""
        : ` (${(share * 100).toFixed(1)} %), about ${duration(((now - this.#started) * (1 - share)) / share)} left`;
    this.#tell(`${this.#what}: ${this.#done}${of}, ${this.#rate(now)}${left}`);
  }

  end(): void {
    const now = this.#now();
    this.#tell(`${this.#what}: ${this.#done} in ${duration(now - this.#started)}, ${this.#rate(now)}`);
  }

  #rate(now: number): string {
    return `${Math.round((this.#done * 1000) / Math.max(1, now - this.#started))}/s`;
  }
}

/** A length of time for people: seconds, minutes or hours. */
function duration(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)} min`;
  return `${(ms / 3_600_000).toFixed(1)} h`;
}
