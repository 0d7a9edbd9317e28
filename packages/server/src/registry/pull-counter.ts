import type { Digest, JsonObject } from "@assay/evidence";
import type { RecordClient } from "../record/client.ts";
import { PULLS_PER_OPERATION } from "./operations.ts";
import { DAY_MS } from "./limits.ts";

/** Distinct (repository, digest, identity, day) held in memory before they are written at once. */
const BUFFER = 10_000;

/** And at most, while they cannot be written: pulls of others are then not counted, and the memory stays bounded. */
const MOST = 4 * BUFFER;

/** A pull of a manifest. */
export interface Pull {
  readonly org: string;
  readonly repository: string;
  readonly digest: Digest;
  readonly actor: string;
  /** ms. */
  readonly time: number;
}

/** Counts pulls per digest, identity and day in memory and writes them in one operation now and then. A crash loses what is not written. */
export class PullCounter {
  readonly #record: RecordClient;
  #waiting = new Map<string, { readonly pull: Pull; readonly day: string; count: number }>();

  #day = { number: Number.NaN, text: "" };

  constructor(record: RecordClient) {
    this.#record = record;
  }

  /** @returns whether so many wait that they should be written now. */
  count(pull: Pull): boolean {
    const day = this.#dayOf(pull.time);
    // No part can hold a space.
    const key = `${pull.repository} ${pull.digest} ${pull.actor} ${day}`;
    const known = this.#waiting.get(key);
    if (known !== undefined) known.count += 1;
    else if (this.#waiting.size < MOST) this.#waiting.set(key, { pull, day, count: 1 });
    return this.#waiting.size >= BUFFER;
  }

  /** The day of a moment, `YYYY-MM-DD` in UTC, which is the same as that of the pull before nearly always. */
  #dayOf(time: number): string {
    const number = Math.floor(time / DAY_MS);
    if (this.#day.number !== number) this.#day = { number, text: new Date(time).toISOString().slice(0, 10) };
    return this.#day.text;
  }

  /** Writes what waits. What could not be written waits on. */
  async flush(): Promise<void> {
    const entries = [...this.#waiting];
    this.#waiting = new Map();
    for (let at = 0; at < entries.length; at += PULLS_PER_OPERATION) {
      const step = entries.slice(at, at + PULLS_PER_OPERATION);
      const pulls: JsonObject[] = step.map(([, { pull, day, count }]) => ({
        org: pull.org,
        repository: pull.repository,
        digest: pull.digest,
        actor: pull.actor,
        day,
        count,
      }));
      try {
        await this.#record.operate("registry.count-pulls", { pulls });
      } catch (error) {
        this.#putBack(entries.slice(at));
        throw error;
      }
    }
  }

  #putBack(entries: ReadonlyArray<[string, { readonly pull: Pull; readonly day: string; count: number }]>): void {
    for (const [key, entry] of entries) {
      const known = this.#waiting.get(key);
      if (known === undefined && this.#waiting.size < MOST) this.#waiting.set(key, entry);
      else if (known !== undefined) known.count += entry.count;
    }
  }
}
