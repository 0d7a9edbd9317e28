import type { Reader } from "../storage/database.ts";
import { SettledReader } from "../storage/prepared.ts";
import { newestSequence } from "./newest.ts";

/**
 * Hands out readers that remember what follows from the record, for as long as it does not grow.
 *
 * INVARIANT: what is remembered never outlives a change, whichever process or host made it. An event and what it changes are committed
 * together; the newest sequence is looked up in the database each time; and what is remembered under a sequence was read after that sequence was
 * looked up. So where the newest is still the same, nothing that events change was changed since.
 */
export class SettledRecord {
  readonly #reader: Reader;
  #settled: SettledReader | undefined;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** The reader of this moment: for one early answer, not to be kept. */
  async now(): Promise<SettledReader> {
    const asOf = await newestSequence(this.#reader);
    if (this.#settled?.asOf !== asOf) this.#settled = new SettledReader(this.#reader, asOf);
    return this.#settled;
  }
}
