import type { Reader } from "../storage/database.ts";
import { SettledReader } from "../storage/prepared.ts";
import { newestSequence } from "./newest.ts";
import type { RecordStamp } from "./stamp.ts";

/**
 * Hands out readers that remember what follows from the record, for as long as it does not grow.
 *
 * INVARIANT: what is remembered never outlives a change, whichever process or host made it. An event and what it changes are committed
 * together; the newest sequence is looked up in the database each time, unless the record's stamp is still the one from before it was last
 * looked up; and what is remembered under a sequence was read after that sequence was looked up. So where the newest is still the same, nothing
 * that events change was changed since.
 */
export class SettledRecord {
  readonly #reader: Reader;
  readonly #stamp: RecordStamp | undefined;
  #settled: SettledReader | undefined;
  /** The stamp before its newest sequence was looked up. */
  #stamped: number | undefined;

  constructor(reader: Reader, stamp?: RecordStamp) {
    this.#reader = reader;
    this.#stamp = stamp;
  }

  /** The reader of this moment: for one early answer, not to be kept. */
  async now(): Promise<SettledReader> {
    return this.#same() ?? (await this.#lookUp());
  }

  /** The one from before, where the record is known not to have grown since. */
  #same(): SettledReader | undefined {
    const stamp = this.#stamp?.now();
    return stamp !== undefined && stamp === this.#stamped ? this.#settled : undefined;
  }

  async #lookUp(): Promise<SettledReader> {
    const stamp = this.#stamp?.now();
    const asOf = await newestSequence(this.#reader);
    if (this.#settled?.asOf !== asOf) this.#settled = new SettledReader(this.#reader, asOf);
    this.#stamped = stamp;
    return this.#settled;
  }
}
