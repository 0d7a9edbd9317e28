/**
 * Says whether the record may have grown, without asking the database: a number in memory that the writer's thread shares with the others of its
 * process. It is odd while events are being committed, and another one after each commit.
 *
 * INVARIANT: only where this process is the one that writes the record, so that nothing is committed unseen.
 */
export class RecordStamp {
  readonly #number: Int32Array<SharedArrayBuffer>;

  /** @param shared what another one's {@link shared} gave; absent: a new one. */
  constructor(shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.#number = new Int32Array(shared);
  }

  /** For another thread to make its own of. */
  get shared(): SharedArrayBuffer {
    return this.#number.buffer;
  }

  /** Before events are committed. */
  begin(): void {
    if (Atomics.load(this.#number, 0) % 2 === 0) Atomics.add(this.#number, 0, 1);
  }

  /** When they are committed or given up, and before anybody is told. */
  end(): void {
    if (Atomics.load(this.#number, 0) % 2 !== 0) Atomics.add(this.#number, 0, 1);
  }

  /** Where the same is given again, the record did not grow in between; undefined while it may be growing. */
  now(): number | undefined {
    const number = Atomics.load(this.#number, 0);
    return number % 2 === 0 ? number : undefined;
  }
}
