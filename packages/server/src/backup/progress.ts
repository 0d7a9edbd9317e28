/** How often a long work says how far it is, ms. */
const INTERVAL_MS = 2000;

/** `1.2 GB`, in powers of ten. */
export function humanBytes(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Says now and then how many events and bytes have gone by, and how fast. */
export class Progress {
  readonly #tell: (line: string) => void;
  readonly #what: string;
  readonly #started = performance.now();
  #next = this.#started + INTERVAL_MS;
  #events = 0;
  #blobs = 0;
  #bytes = 0;

  constructor(what: string, tell: (line: string) => void) {
    this.#what = what;
    this.#tell = tell;
  }

  event(bytes: number): void {
    this.#events += 1;
    this.#count(bytes);
  }

  blob(): void {
    this.#blobs += 1;
  }

  bytes(bytes: number): void {
    this.#count(bytes);
  }

  /** The last word. */
  end(): void {
    this.#say();
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (performance.now() >= this.#next) this.#say();
  }

  #say(): void {
    const now = performance.now();
    this.#next = now + INTERVAL_MS;
    const rate = this.#bytes / Math.max(0.001, (now - this.#started) / 1000);
    this.#tell(
      `${this.#what}: ${this.#events} events, ${this.#blobs} blobs, ${humanBytes(this.#bytes)}, ${humanBytes(Math.round(rate))}/s`,
    );
  }
}
