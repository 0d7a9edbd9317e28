import type { HashedDocument } from "@assay/evidence";

/** Hashes of artifacts that a process remembers. One takes about a kilobyte. */
const REMEMBERED = 32_768;

/** How long a hash counts as in use after it was asked for, ms: longer than somebody takes who asks again until it is answered. */
const IN_USE_MS = 10 * 60_000;

/** What is known of artifacts' hashes. */
export interface KnownHashes {
  /** What an organisation's reading came to. `name` follows from the artifact and what was asked, and from nothing else. */
  recall(org: string, name: string): HashedDocument | undefined;
  /** Keeps what a reading came to, where there is room for it. */
  remember(org: string, name: string, hashed: HashedDocument): void;
}

interface Known {
  readonly hashed: HashedDocument;
  /** When it was last asked for, ms. */
  readonly used: number;
}

/**
 * Hashes of artifacts, remembered for each organisation by itself. Room is shared: when there is none left, whoever has most gives way, so
 * that no organisation takes another below an equal share. Within one, what was least recently used goes first, and what is still in use
 * stays: a question that asks for more than there is room for, again and again in one order, would otherwise find nothing of what it
 * asked before.
 */
export class HashMemory implements KnownHashes {
  readonly #limit: number;
  readonly #inUse: number;
  readonly #now: () => number;
  /** By organisation, each in order of last use, the least recent first. INVARIANT: none is empty. */
  readonly #known = new Map<string, Map<string, Known>>();
  #size = 0;

  constructor({ limit = REMEMBERED, inUseMs = IN_USE_MS, now = Date.now } = {}) {
    this.#limit = limit;
    this.#inUse = inUseMs;
    this.#now = now;
  }

  recall(org: string, name: string): HashedDocument | undefined {
    const own = this.#known.get(org);
    const known = own?.get(name);
    if (own === undefined || known === undefined) return undefined;
    own.delete(name);
    own.set(name, { hashed: known.hashed, used: this.#now() });
    return known.hashed;
  }

  remember(org: string, name: string, hashed: HashedDocument): void {
    const used = this.#now();
    const own = this.#known.get(org);
    if (own?.delete(name) === true) {
      own.set(name, { hashed, used });
      return;
    }
    if (this.#size >= this.#limit && !this.#makeRoom(org, used)) return;
    this.#size++;
    const held = this.#known.get(org);
    if (held === undefined) this.#known.set(org, new Map([[name, { hashed, used }]]));
    else held.set(name, { hashed, used });
  }

  /** False when the room would have to come from what the organisation itself is using. */
  #makeRoom(org: string, now: number): boolean {
    let [giver, most] = [org, this.#known.get(org)?.size ?? 0];
    for (const [other, { size }] of this.#known) if (size > most) [giver, most] = [other, size];
    const held = this.#known.get(giver);
    const [oldest] = held ?? [];
    if (held === undefined || oldest === undefined) return false;
    const [name, { used }] = oldest;
    if (giver === org && now - used < this.#inUse) return false;
    held.delete(name);
    this.#size--;
    if (held.size === 0) this.#known.delete(giver);
    return true;
  }
}
