import { OciError } from "../registry/errors.ts";

/** Lets some of what is asked for at the same time be done at once, the rest in turn, and no more wait than there is room for. */
export class AtOnce {
  readonly #places: number;
  readonly #mayWait: number;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor(places: number, mayWait: number) {
    this.#places = places;
    this.#mayWait = mayWait;
  }

  /** @throws OciError 429 when too many wait already. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy >= this.#places) {
      if (this.#waiting.length >= this.#mayWait) {
        throw new OciError(429, "TOOMANYREQUESTS", "too much is being brought from upstreams already", {
          headers: { "retry-after": "10" },
        });
      }
      // Whoever ends hands its place on.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#busy += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy -= 1;
      else next();
    }
  }
}

/** Does what several ask for at the same time once for all of them. */
export class Shared<T> {
  readonly #under = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#under.get(key);
    if (running !== undefined) return running;
    const started = work().finally(() => this.#under.delete(key));
    this.#under.set(key, started);
    return started;
  }
}
