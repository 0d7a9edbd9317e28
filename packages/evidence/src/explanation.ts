import type { Step } from "./verdict.ts";

/** Collects what is checked, in order. Nothing is passed by being left out: who stops, stops with a failed step. */
export class Explanation {
  readonly #steps: Step[] = [];

  /** What was checked so far. */
  get steps(): readonly Step[] {
    return [...this.#steps];
  }

  passed(check: string, detail: string, steps?: readonly Step[]): void {
    this.#add("passed", check, detail, steps);
  }

  failed(check: string, detail: string, steps?: readonly Step[]): void {
    this.#add("failed", check, detail, steps);
  }

  /** Something is there on which nothing rests. */
  notEvaluated(check: string, detail: string, steps?: readonly Step[]): void {
    this.#add("not-evaluated", check, detail, steps);
  }

  /** Steps that another check has taken, as they are. */
  add(steps: readonly Step[]): void {
    this.#steps.push(...steps);
  }

  #add(outcome: Step["outcome"], check: string, detail: string, steps: readonly Step[] | undefined): void {
    this.#steps.push({ check, outcome, detail, ...(steps === undefined || steps.length === 0 ? {} : { steps }) });
  }
}
