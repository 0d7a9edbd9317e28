import { restOfTurn } from "../http/rest-of-turn.ts";
import type { Reader } from "../storage/database.ts";
import { SettledReader } from "../storage/prepared.ts";
import { newestSequence } from "./newest.ts";

/**
 * Hands out readers that remember what follows from the record, for as long as it does not grow.
 *
 * INVARIANT: what is remembered never outlives a change, whichever process or host made it. An event and what it changes are committed
 * together; the newest sequence is looked up in the database after whoever is given the answer has asked; and what is remembered under a sequence
 * was read after that sequence was looked up. So where the newest is still the same, nothing that events change was changed since.
 */
export class SettledRecord {
  readonly #reader: Reader;
  #settled: SettledReader | undefined;
  #asked: Promise<SettledReader> | undefined;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  /** The reader of this moment: for one early answer, not to be kept. */
  now(): Promise<SettledReader> {
    this.#asked ??= this.#look();
    return this.#asked;
  }

  /** One look for all who ask in one turn of the event loop. */
  async #look(): Promise<SettledReader> {
    await restOfTurn();
    // INVARIANT: the look is begun when all who are given its answer have asked; from here on another one answers.
    this.#asked = undefined;
    const asOf = await newestSequence(this.#reader);
    if (this.#settled?.asOf !== asOf) this.#settled = new SettledReader(this.#reader, asOf);
    return this.#settled;
  }
}
