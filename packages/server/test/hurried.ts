/**
 * Loaded into a server before its program (`--import`): the program as it is, on a faster calendar. What lasts days and hours in service
 * lasts seconds (hurried-limits.ts), and what is done every few hours is done every moment (hurried-jobs.ts), so that a test of minutes sees
 * leases, sessions and times of grace end thousands of times. Nothing else of the program is another.
 */
import { registerHooks } from "node:module";

const here = (path: string): string => new URL(path, import.meta.url).href;

const INSTEAD: ReadonlyMap<string, string> = new Map([
  [here("../src/registry/limits.ts"), here("./hurried-limits.ts")],
  [here("../src/registry/grace.ts"), here("./hurried-limits.ts")],
  [here("../src/jobs-composition.ts"), here("./hurried-jobs.ts")],
]);

/** They stand on what they stand in for. */
const OURS: ReadonlySet<string> = new Set(INSTEAD.values());

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    const instead = INSTEAD.get(resolved.url);
    if (instead === undefined || OURS.has(context.parentURL ?? "")) return resolved;
    return { ...resolved, url: instead };
  },
});
