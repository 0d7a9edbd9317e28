/** V8 maps a memory of WebAssembly's at the beginning of a page of the machine; of a Buffer nobody says where it begins. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number;
    readonly maximum: number;
    readonly shared: true;
  }) => {
    readonly buffer: SharedArrayBuffer;
  };
};

const WASM_PAGE = 64 * 1024;

/** What direct I/O asks of where memory begins, of where it goes in a file, and of how much it is. A disk with larger blocks refuses it. */
export const ALIGNMENT = 4096;

/** One piece, bytes. */
export const PIECE = 1024 * 1024;

/** Pieces there are. More bodies than these at once get ordinary memory. */
const PIECES = 16;

const aligned = new WeakSet<ArrayBufferLike>();

/** The memory for bodies as another thread of this process has it (`AlignedMemory.shared` there). */
export function sharedAligned(buffer: SharedArrayBuffer): Uint8Array {
  aligned.add(buffer);
  return new Uint8Array(buffer);
}

/** Whether this memory begins where direct I/O can take it from. */
export function isAligned({ buffer, byteOffset }: Pick<Uint8Array, "buffer" | "byteOffset">): boolean {
  return byteOffset % ALIGNMENT === 0 && aligned.has(buffer);
}

/**
 * Memory for bodies that is used again and again: new memory has to be cleared first, which costs as much as filling it. A disk takes it as it
 * is, so that its bytes need no copy in the kernel (durable.ts).
 */
class AlignedMemory {
  #buffer: SharedArrayBuffer | undefined;
  #free: Uint8Array[] | undefined;

  /** A piece of {@link PIECE} bytes, with whatever was in it before. */
  take(): Uint8Array {
    return this.#pieces().pop() ?? Buffer.allocUnsafeSlow(PIECE);
  }

  /** The memory that pieces are of, for other threads to read. */
  shared(): SharedArrayBuffer | undefined {
    this.#pieces();
    return this.#buffer;
  }

  /** Takes back what {@link take} gave. Nobody may read or write it any more. */
  giveBack(piece: Uint8Array): void {
    if (aligned.has(piece.buffer)) this.#pieces().push(piece);
    // Without waiting for the collector of garbage (giveBack in registry/incoming.ts says why).
    else if (piece.buffer instanceof ArrayBuffer) piece.buffer.transfer(0);
  }

  /** Reserved when first asked for; what was never used takes no memory of the machine. */
  #pieces(): Uint8Array[] {
    if (this.#free === undefined) {
      const buffer = reserved();
      this.#buffer = buffer;
      this.#free =
        buffer === undefined
          ? []
          : Array.from({ length: PIECES }, (_, index) => new Uint8Array(buffer, index * PIECE, PIECE));
    }
    return this.#free;
  }
}

/** Memory for the pieces; none where there is no such memory (`node --jitless`, or a limit on addresses): it only saves work. */
function reserved(): SharedArrayBuffer | undefined {
  const pages = (PIECES * PIECE) / WASM_PAGE;
  try {
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    aligned.add(buffer);
    return buffer;
  } catch {
    return undefined;
  }
}

/** That of this process. */
export const alignedMemory = new AlignedMemory();
