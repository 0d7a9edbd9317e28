/**
 * Gathers what organisations something was recorded of, and has them looked at a moment later: one look at a time, however much is told
 * meanwhile, and another for what came during it.
 */
export class Gathering {
  readonly #ms: number;
  readonly #look: (orgs: readonly string[]) => Promise<void>;
  readonly #due = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  /**
   * @param ms how long organisations are gathered before they are looked at.
   * @param look looks at some of them; it never rejects, as nobody waits for it.
   */
  constructor(ms: number, look: (orgs: readonly string[]) => Promise<void>) {
    this.#ms = ms;
    this.#look = look;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Something was recorded of these organisations. */
  add(orgs: Iterable<string>): void {
    for (const org of orgs) this.#due.add(org);
    this.#plan();
  }

  /** Does something that nothing is to be looked at beside: what is gathered waits for its end. @param work never rejects. */
  during(work: () => Promise<void>): void {
    this.#looking = work().finally(() => {
      this.#looking = undefined;
      this.#plan();
    });
  }

  /** Ends looking, and waits for a look under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  #plan(): void {
    if (this.#stopped || this.#timer !== undefined || this.#looking !== undefined || this.#due.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const orgs = [...this.#due];
      this.#due.clear();
      this.during(() => this.#look(orgs));
    }, this.#ms);
    this.#timer.unref();
  }
}
