import type { HashedDocument } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import { HashMemory, type KnownHashes } from "./hash-memory.ts";

/** Readings of one organisation that may wait for their turn. */
const MAX_WAITING = 32;

/** How long a reading waits for its turn, ms. */
const PATIENCE_MS = 30_000;

/** What something that is only foreseen may remember of hashes while it lasts. */
const REMEMBERED_ASIDE = 8_192;

/** Bytes that judging may hash of artifacts within one request: four ways over the largest that is read at all. */
export const MAX_HASHED_BYTES = 1024 ** 3;

/** What one request may still cost. Every signature that makes an artifact be read takes from it; what is remembered costs nothing. */
export class ReadingAllowance {
  #left: number;
  #isSpent = false;

  /** @param bytes to hash, all artifacts and ways together. */
  constructor(bytes = MAX_HASHED_BYTES) {
    this.#left = bytes;
  }

  /** Whether something was refused for want of it: what was judged then may be worth more than was said. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  /** Whether so many bytes are left. */
  affords(bytes: number): boolean {
    if (bytes > this.#left) this.#isSpent = true;
    return bytes <= this.#left;
  }

  /** Takes so many bytes; false, taking nothing, when fewer are left. */
  take(bytes: number): boolean {
    if (!this.affords(bytes)) return false;
    this.#left -= bytes;
    return true;
  }
}

/** What one request may hash was not enough to judge what it asks about: no verdict. Asked again, it goes on from what is remembered. */
export class AllowanceSpent extends ServerError {
  constructor() {
    super("artifacts-busy", "judging this takes more reading of artifacts than one request may", {
      hint: "ask again: what was read is remembered, and it goes on from there",
    });
  }
}

/** The readings of artifacts that signatures ask for, and what is known of them. */
export interface Readings extends KnownHashes {
  /** Runs a reading when it is its turn. @throws ServerError `artifacts-busy` instead. */
  turn<T>(org: string, reading: () => Promise<T>): Promise<T>;
}

interface Waiter {
  readonly go: () => void;
  readonly expiry: NodeJS.Timeout;
}

/**
 * The readings of artifacts that signatures ask for: of large ones one at a time in a process, organisations in turn, and what they come to
 * is remembered. Only hashes are: of what an artifact's digest names they are so for ever. Whether a signature is good, and whom to
 * believe, is asked each time.
 *
 * What one organisation has read answers no other: how quickly an answer comes does not tell whether another holds the artifact. That
 * others are reading just now, or have read much, does show, by the wait and by what is forgotten.
 */
export class ArtifactReadings implements Readings {
  readonly #patience: number;
  readonly #memory: KnownHashes;
  /** By organisation, the one whose turn is next first. */
  readonly #waiting = new Map<string, Waiter[]>();
  #isReading = false;

  constructor({
    memory = new HashMemory(),
    patienceMs = PATIENCE_MS,
  }: { memory?: KnownHashes; patienceMs?: number } = {}) {
    this.#memory = memory;
    this.#patience = patienceMs;
  }

  recall(org: string, name: string): HashedDocument | undefined {
    return this.#memory.recall(org, name);
  }

  remember(org: string, name: string, hashed: HashedDocument): void {
    this.#memory.remember(org, name, hashed);
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

/**
 * The same readings for what is only foreseen, while that lasts: it knows what is remembered, and adds nothing to it. What somebody merely
 * proposes, however often, drives out nothing that is in use.
 */
export function readingsAside(readings: Readings): Readings {
  const memory = new HashMemory({ limit: REMEMBERED_ASIDE });
  return {
    recall: (org, name) => memory.recall(org, name) ?? readings.recall(org, name),
    remember: (org, name, hashed) => memory.remember(org, name, hashed),
    turn: (org, reading) => readings.turn(org, reading),
  };
}

function busy(): ServerError {
  return new ServerError("artifacts-busy", "other artifacts are being read to judge signatures over them", {
    hint: "try again in a moment",
  });
}

/** One for the process. */
export const artifactReadings = new ArtifactReadings();
