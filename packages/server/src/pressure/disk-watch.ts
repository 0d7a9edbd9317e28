import { statfs } from "node:fs/promises";
import { ServerError } from "../errors.ts";

/** How often the free space is asked for, ms. */
const LOOK_MS = 1_000;

/** How old a look may be for a write under way, ms: a fast disk takes in more than the floor between two of the others. */
const FRESH_MS = 50;

/** A body announced to be this long is admitted on a look of its own, bytes: what a disk takes in between two looks is less. */
const LARGE = 4 * 1024 * 1024;

/** What hears when the disk gets low, and when it is well again; once each time. */
export interface DiskLog {
  warn(detail: object, message: string): void;
  info(detail: object, message: string): void;
}

/** Free bytes for this user on the file system of a directory. */
async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/**
 * Keeps a floor of free space under the data directory: below it nothing is taken in that would grow the disk, so that what was taken
 * in can always be published, and the record can stop. It recovers by itself.
 *
 * Space that cannot be asked for counts as none.
 */
export class DiskWatch {
  readonly #directory: string;
  readonly #floor: number;
  readonly #log: DiskLog;
  readonly #ask: (directory: string) => Promise<number>;
  #free: number | undefined;
  #low = false;
  #looking: Promise<void> | undefined;
  #looked = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** @param parts `floor`: bytes; 0 keeps none. */
  constructor(parts: {
    readonly directory: string;
    readonly floor: number;
    readonly log: DiskLog;
    readonly ask?: (directory: string) => Promise<number>;
  }) {
    this.#directory = parts.directory;
    this.#floor = parts.floor;
    this.#log = parts.log;
    this.#ask = parts.ask ?? freeBytes;
  }

  /** Takes a first look, and goes on looking until {@link stop}. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => void this.look(), LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Free bytes at the last look; undefined when they could not be asked for. */
  get free(): number | undefined {
    return this.#free;
  }

  /** Whether writes are refused. */
  get low(): boolean {
    return this.#low;
  }

  /** Why writes are refused, in a few words; undefined when they are not. */
  get problem(): string | undefined {
    if (!this.#low) return undefined;
    const free = this.#free === undefined ? "free space unknown" : `${showBytes(this.#free)} free`;
    return `${free}, and ${showBytes(this.#floor)} are kept`;
  }

  /** Looks now. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    let cause: unknown;
    this.#looked = performance.now();
    try {
      this.#free = await this.#ask(this.#directory);
    } catch (error) {
      this.#free = undefined;
      cause = error;
    }
    const low = this.#floor > 0 && (this.#free === undefined || this.#free < this.#floor);
    if (low === this.#low) return;
    this.#low = low;
    const detail = { directory: this.#directory, free: this.#free, floor: this.#floor };
    if (low) this.#log.warn({ ...detail, err: cause }, "the disk is low: writes are refused until there is room");
    else this.#log.info(detail, "the disk has room again: writes are taken");
  }

  /**
   * Admits a write.
   *
   * @param bytes how many it is known to bring, beyond a little.
   * @param promised bytes that others were admitted with before and have not yet brought; asked after the look.
   * @throws ServerError `disk-low`.
   */
  async admit(bytes: number, promised: () => number): Promise<void> {
    if (this.#floor === 0) return;
    if (bytes >= LARGE) await this.look();
    this.#refuseWhenLow();
    if (bytes >= LARGE && this.#free !== undefined && this.#free - promised() - bytes < this.#floor) {
      throw diskLow(`there is no room for ${showBytes(bytes)} more (${showBytes(this.#free)} are free)`);
    }
  }

  /** Lets a write under way go on. @throws ServerError `disk-low`. */
  goOn(): void {
    if (this.#floor > 0 && performance.now() - this.#looked > FRESH_MS) void this.look();
    this.#refuseWhenLow();
  }

  #refuseWhenLow(): void {
    if (this.#low) throw diskLow(`the disk is low (${this.problem ?? ""})`);
  }
}

function diskLow(message: string): ServerError {
  return new ServerError("disk-low", message, { hint: "make room on the disk of ASSAY_DATA; writes then go on" });
}

/** Bytes as people read them. */
export function showBytes(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`;
  }
  return `${bytes} bytes`;
}
