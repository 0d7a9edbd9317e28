/** Vitest reporter: the last line of a run is its counts, so that a log's tail tells what was tested. */
import type { Reporter, TestModule } from "vitest/node";

export default class TestSummary implements Reporter {
  #started = performance.now();

  onTestRunStart(): void {
    this.#started = performance.now();
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    let broken = 0;
    for (const module of modules) {
      if (module.state() === "failed" && [...module.children.allTests("failed")].length === 0) broken += 1;
      for (const test of module.children.allTests()) counts[test.result().state] += 1;
    }
    const parts = [`${counts.passed} passed`, `${counts.failed} failed`, `${counts.skipped} skipped`];
    if (counts.pending > 0) parts.push(`${counts.pending} not finished`);
    if (broken > 0) parts.push(`${broken} files did not load`);
    if (errors.length > 0) parts.push(`${errors.length} errors outside tests`);
    const seconds = ((performance.now() - this.#started) / 1000).toFixed(1);
    console.log(`tests: ${parts.join(", ")} (${modules.length} files, ${seconds} s)`);
  }
}
