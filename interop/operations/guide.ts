/** docs/operations.md as the tests follow it: procedures are its sections, their steps the `sh` blocks in them. */
import { readFileSync } from "node:fs";
import { afterAll, expect } from "vitest";

interface Section {
  /** The section's heading. */
  readonly name: string;
  /** Its `sh` blocks, in order. */
  readonly steps: readonly string[];
}

function sections(): { name: string; text: string }[] {
  const text = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
  return text
    .split(/^#{2,3} /m)
    .slice(1)
    .map((section) => ({ name: section.slice(0, section.indexOf("\n")).trim(), text: section }));
}

/** Every section of the guide that has steps. */
export function procedures(): Section[] {
  return sections()
    .map(({ name, text }) => ({
      name,
      steps: [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((found) => found[1] ?? ""),
    }))
    .filter(({ steps }) => steps.length > 0);
}

/** A section's text. @throws Error when the guide has none of that name. */
export function guideText(name: string): string {
  const found = sections().find((section) => section.name === name);
  if (found === undefined) throw new Error(`docs/operations.md has no section "${name}"`);
  return found.text;
}

/** The steps of one procedure. @throws Error when the guide has no such section, or none with steps. */
export function stepsOf(name: string): readonly string[] {
  const found = procedures().find((procedure) => procedure.name === name);
  if (found === undefined) throw new Error(`docs/operations.md has no procedure "${name}"`);
  return found.steps;
}

/** A procedure that a test file follows. */
export interface Procedure {
  /** The one step that holds this text. @throws Error when there is none, or more than one. */
  step(text: string): string;
}

/**
 * Takes a procedure on: after the tests of this file (or `describe`), every step of it must have been asked for. `coverage.test.ts` looks for the calls of this
 * function, so the name stands there as it is.
 */
export function procedure(name: string): Procedure {
  const steps = stepsOf(name);
  const followed = new Set<string>();
  afterAll(() => {
    expect(
      steps.filter((step) => !followed.has(step)),
      `steps of "${name}" that no test followed`,
    ).toEqual([]);
  });
  return {
    step(text) {
      const [found, ...more] = steps.filter((step) => step.includes(text));
      if (found === undefined || more.length > 0) {
        throw new Error(
          `${more.length + (found === undefined ? 0 : 1)} steps of "${name}" hold ${JSON.stringify(text)}`,
        );
      }
      followed.add(found);
      return found;
    },
  };
}
