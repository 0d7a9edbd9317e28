import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { ROOT } from "../repository.ts";

/** What a place starts the service with: settings of Node's and of the C library. */
function startedWith(path: string): Record<string, string | undefined> {
  const text = readFileSync(new URL(path, ROOT), "utf8");
  const found = (name: string): string | undefined =>
    new RegExp(`${name}(?:=\\$\\{${name}:-|[=":, ]+)(\\d+)`).exec(text)?.[1];
  return Object.fromEntries(
    [
      "--max-semi-space-size",
      "MALLOC_ARENA_MAX",
      "MALLOC_MMAP_THRESHOLD_",
      "MALLOC_TRIM_THRESHOLD_",
      "UV_THREADPOOL_SIZE",
    ].map((name) => [name, found(name)]),
  );
}

it("the service is started with the same settings everywhere, the bench included", () => {
  const expected = startedWith("packages/cli/src/verbs/server.ts");
  expect(Object.values(expected).every((value) => value !== undefined)).toBe(true);
  for (const place of ["package.json", "docs/examples/assay.service", "packages/server/bench/registry/servers.ts"]) {
    expect(startedWith(place), place).toEqual(expected);
  }
});
