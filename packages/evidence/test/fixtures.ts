import { readFileSync } from "node:fs";

/**
 * Text of a fixture: what cosign 3.1.3 wrote for `fixtures/README.md`'s commands with a key thrown away since. The parsed
 * forms are readable JSON; nothing about them is secret.
 */
export function fixture(name: string): string {
  return readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8");
}

/** Bytes of a fixture. */
export function fixtureBytes(name: string): Uint8Array {
  return Uint8Array.from(readFileSync(new URL(`fixtures/${name}`, import.meta.url)));
}
