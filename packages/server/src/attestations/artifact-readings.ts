import type { HashedDocument } from "@assay/evidence";
import { ServerError } from "../errors.ts";

/** Hashes of artifacts that are remembered. One takes about a kilobyte. */
const REMEMBERED = 10_000;

/** Readings of one organisation that may wait for their turn. */
const MAX_WAITING = 32;

/** How long a reading waits for its turn, ms. */
const PATIENCE_MS = 30_000;

/** Bytes that judging may hash of artifacts within one request: four ways over the largest that is read at all. */
export const MAX_HASHED_BYTES = 1024 ** 3;

/** What one request may still cost. Every signature that makes an artifact be read takes from it; what is remembered costs nothing. */
export class ReadingAllowance {
  #left: number;

  /** @param bytes to hash, all artifacts and ways together. */
  constructor(bytes = MAX_HASHED_BYTES) {
    this.#left = bytes;
  }

  /** Takes so many bytes; false, taking nothing, when fewer are left. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }
}

interface Waiter {
  readonly go: () => void;
  readonly expiry: NodeJS.Timeout;
}

/**
 * The readings of large artifacts that signatures ask for: one at a time in a process, organisations in turn, and what they come to is
 * remembered. Only hashes are: of what an artifact's digest names they are so for ever. Whether a signature is good, and whom to believe,
 * is asked each time.
 *
 * Each organisation knows only what it has read itself: how quickly an answer comes tells it nothing about others.
 */
export class ArtifactReadings {
  readonly #limit: number;
  readonly #patience: number;
  /** In order of last use, the least recent first. */
  readonly #known = new Map<string, HashedDocument>();
  /** By organisation, the one whose turn is next first. */
  readonly #waiting = new Map<string, Waiter[]>();
  #isReading = false;

  constructor({ limit = REMEMBERED, patienceMs = PATIENCE_MS } = {}) {
    this.#limit = limit;
    this.#patience = patienceMs;
  }

  /** What an organisation's reading came to. `name` follows from the artifact and what was asked, and from nothing else. */
  recall(org: string, name: string): HashedDocument | undefined {
    const key = `${org} ${name}`;
    const known = this.#known.get(key);
    if (known === undefined) return undefined;
    this.#known.delete(key);
    this.#known.set(key, known);
    return known;
  }

  remember(org: string, name: string, hashed: HashedDocument): void {
    this.#known.set(`${org} ${name}`, hashed);
    if (this.#known.size <= this.#limit) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  /**
   * Runs a reading when no other is under way. INVARIANT: whatever becomes of it, the next one's turn comes.
   *
   * @throws ServerError `artifacts-busy` instead of running it, when too many wait or the wait is too long; and what the reading throws.
   */
  async turn<T>(org: string, reading: () => Promise<T>): Promise<T> {
    if (this.#isReading) await this.#wait(org);
    else this.#isReading = true;
    try {
      return await reading();
    } finally {
      this.#passOn();
    }
  }

  async #wait(org: string): Promise<void> {
    const queue = this.#waiting.get(org) ?? [];
    if (queue.length >= MAX_WAITING) throw busy();
    await new Promise<void>((resolve, reject) => {
      const expiry = setTimeout(() => {
        const left = (this.#waiting.get(org) ?? []).filter((other) => other !== waiter);
        if (left.length === 0) this.#waiting.delete(org);
        else this.#waiting.set(org, left);
        reject(busy());
      }, this.#patience);
      const waiter: Waiter = { go: resolve, expiry };
      this.#waiting.set(org, [...queue, waiter]);
    });
  }

  #passOn(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#isReading = false;
      return;
    }
    const [org, [first, ...rest]] = next;
    this.#waiting.delete(org);
    // To the end: whoever has many waiting waits behind whoever has one.
    if (rest.length > 0) this.#waiting.set(org, rest);
    if (first === undefined) return this.#passOn();
    clearTimeout(first.expiry);
    first.go();
  }
}

function busy(): ServerError {
  return new ServerError("artifacts-busy", "other artifacts are being read to judge signatures over them", {
    hint: "try again in a moment",
  });
}

/** One for the process. */
export const artifactReadings = new ArtifactReadings();
