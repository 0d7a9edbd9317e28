import { hash } from "node:crypto";

/** Tokens remembered at once. One that is forgotten is verified again. */
const MOST = 4096;

interface Remembered<T> {
  readonly of: T;
  readonly key: string;
  /** Seconds since the epoch: good from, and no more good at. */
  readonly from: number;
  readonly until: number;
}

/**
 * What tokens of one kind were found to say when their signatures were verified, so that a client that sends one with each of a thousand
 * requests has it verified once. They are known by their SHA-256, and looking one up takes as long for any other.
 *
 * INVARIANT: only what follows from the token's bytes and the key is remembered. Whether its bearer's epoch still stands, and what they may do,
 * is asked of the record as it is now. What that says is kept by the very object that is remembered here (authorize.ts): nobody ever changes it.
 */
export class RememberedTokens<T> {
  readonly #held = new Map<string, Remembered<T>>();

  /**
   * @param key the id of the key that it would be verified with now: under another it has to be verified again.
   * @param now ms.
   */
  recall(token: string, key: string, now: number): T | undefined {
    const name = nameOf(token);
    const held = this.#held.get(name);
    if (held === undefined) return undefined;
    const seconds = Math.floor(now / 1000);
    if (held.key === key && held.from <= seconds && seconds < held.until) return held.of;
    if (seconds >= held.until || held.key !== key) this.#held.delete(name);
    return undefined;
  }

  keep(token: string, remembered: Remembered<T>): void {
    if (this.#held.size >= MOST) {
      // The oldest: tokens live for minutes, so it is the first to end as well.
      const [oldest] = this.#held.keys();
      if (oldest !== undefined) this.#held.delete(oldest);
    }
    this.#held.set(nameOf(token), remembered);
  }
}

function nameOf(token: string): string {
  return hash("sha256", token, "base64");
}
