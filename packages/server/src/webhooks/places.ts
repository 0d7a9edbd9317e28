/** So many places for things under way, of which nobody may hold more than a share. */
export class Places {
  readonly #all: number;
  readonly #share: number;
  readonly #taken = new Map<string, number>();

  constructor(all: number, share: number) {
    this.#all = all;
    this.#share = share;
  }

  /** @returns false when none is free, or `who` has their share. */
  take(who: string): boolean {
    let taken = 0;
    for (const count of this.#taken.values()) taken += count;
    const own = this.#taken.get(who) ?? 0;
    if (taken >= this.#all || own >= this.#share) return false;
    this.#taken.set(who, own + 1);
    return true;
  }

  giveBack(who: string): void {
    const left = (this.#taken.get(who) ?? 0) - 1;
    if (left > 0) this.#taken.set(who, left);
    else this.#taken.delete(who);
  }
}
