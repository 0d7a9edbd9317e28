import { OciError } from "../registry/errors.ts";

/** How much is done at the same time, and how much may wait. */
export interface Room {
  readonly places: number;
  /** Of those, how many one holder has at most: whoever asks slow upstreams keeps none of the others waiting. */
  readonly each: number;
  /** What may wait, of all holders; of one holder as large a part as it has of the places. */
  readonly waiting: number;
}

/** Lets some of what is asked for at the same time be done at once, the rest in turn, and no more wait than there is room for. */
export class AtOnce {
  readonly #room: Room;
  /** Who waits, in order. */
  readonly #waiting: { readonly holder: string; readonly go: () => void }[] = [];
  readonly #held = new Map<string, number>();
  #busy = 0;

  constructor(room: Room) {
    this.#room = room;
  }

  /**
   * @param holder whose places are taken: an organisation.
   * @throws OciError 429 when too many wait already.
   */
  async run<T>(holder: string, work: () => Promise<T>): Promise<T> {
    if (this.#isFree(holder)) this.#take(holder);
    else await this.#turn(holder);
    try {
      return await work();
    } finally {
      this.#leave(holder);
    }
  }

  #isFree(holder: string): boolean {
    return this.#busy < this.#room.places && (this.#held.get(holder) ?? 0) < this.#room.each;
  }

  #take(holder: string): void {
    this.#busy += 1;
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + 1);
  }

  /** Waits for a place. Whoever lets somebody go on takes it for them. */
  async #turn(holder: string): Promise<void> {
    const { places, each, waiting } = this.#room;
    const own = this.#waiting.filter((one) => one.holder === holder).length;
    if (this.#waiting.length >= waiting || own >= (waiting * each) / places) {
      throw new OciError(429, "TOOMANYREQUESTS", "too much is being brought from upstreams already", {
        headers: { "retry-after": "10" },
      });
    }
    await new Promise<void>((go) => this.#waiting.push({ holder, go }));
  }

  #leave(holder: string): void {
    this.#busy -= 1;
    const left = (this.#held.get(holder) ?? 0) - 1;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    const at = this.#waiting.findIndex((one) => this.#isFree(one.holder));
    const [next] = at === -1 ? [] : this.#waiting.splice(at, 1);
    if (next === undefined) return;
    this.#take(next.holder);
    next.go();
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
