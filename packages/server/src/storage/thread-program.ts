import { existsSync } from "node:fs";

/**
 * The program of a thread: in the bundle a file beside those that start it, in the source the module of that name.
 *
 * @param name of the program, as scripts/build.ts has it.
 * @param beside the URL of the module that stands in the same folder as the source.
 */
export function threadProgram(name: string, beside: string): URL {
  const bundled = new URL(`./${name}.mjs`, beside);
  return existsSync(bundled) ? bundled : new URL(`./${name}.ts`, beside);
}
