const KIB = 1024;

/** Reading a mebibyte at once costs a third less than in four parts (measured): each read is a way to another thread and back. */
const LARGE = 1024 * KIB;

/** Large ones in use at once: what many slow clients hold stays small. */
const LARGE_AT_ONCE = 16;

/** What there is for everybody else. */
const SMALL = 256 * KIB;

/** What is smaller has memory of its own: a whole buffer for it would be held as long as its client takes. */
const OWN = 64 * KIB;

/** Buffers of each size that are kept for the next pull. */
const KEPT = 8;

/**
 * The memory that blobs are sent through, used again: memory of this size that is asked for anew is mapped, cleared and unmapped by the kernel
 * each time, which costs as much as copying into it.
 */
class SendBuffers {
  readonly #free = new Map<number, Buffer<ArrayBuffer>[]>([
    [LARGE, []],
    [SMALL, []],
  ]);
  #large = 0;

  /** A buffer for `bytes` bytes, or for as many of them as go at once; an empty one when there are none. */
  take(bytes: number): Buffer<ArrayBuffer> {
    if (bytes <= OWN) return Buffer.allocUnsafe(Math.max(bytes, 0));
    const size = bytes > SMALL && this.#large < LARGE_AT_ONCE ? LARGE : SMALL;
    if (size === LARGE) this.#large += 1;
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size);
  }

  /**
   * Takes back what {@link take} gave.
   *
   * @param unused nobody reads or writes it any more; else its memory is left to whoever does.
   */
  giveBack(buffer: Buffer<ArrayBuffer>, unused: boolean): void {
    if (buffer.length === LARGE) this.#large -= 1;
    const free = this.#free.get(buffer.length);
    if (!unused || free === undefined) return;
    if (free.length < KEPT) free.push(buffer);
    // Without waiting for the collector of garbage: a busy server would make it look through all that lives, over and over, for these alone.
    else buffer.buffer.transfer(0);
  }
}

/** Those of this process. */
export const sendBuffers = new SendBuffers();
