/**
 * Hostile input for every parser: no untyped error, no crash, nothing that takes more than a second or much memory. A group takes ten seconds;
 * with ASSAY_LONG=1 a minute for each of its parsers. ASSAY_SEED repeats a run.
 */
import { randomInt } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { minimised, Runner, told } from "./campaign.ts";
import { GROUPS } from "./targets.ts";

const SEED = Number(process.env["ASSAY_SEED"] ?? randomInt(2 ** 31));
const TARGETS = new URL("targets.ts", import.meta.url);
const isLong = process.env["ASSAY_LONG"] === "1";

/** Inputs that were found once: a parser's name, a tab, base64; lines that begin with # say what they were. */
function found(group: string): { parser: string; input: Uint8Array }[] {
  const file = new URL(`found/${group}.txt`, import.meta.url);
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [parser = "", base64 = ""] = line.split("\t");
      return { parser, input: Uint8Array.from(Buffer.from(base64, "base64")) };
    });
}

describe.each(Object.keys(GROUPS))("%s", (group) => {
  const seconds = isLong ? 60 * (GROUPS[group]?.length ?? 1) : 10;

  test(
    `holds for ${seconds} s of hostile input, and for all that was found before`,
    async () => {
      const runner = new Runner(TARGETS, group);
      try {
        for (const { parser, input } of found(group)) {
          const { failure } = await runner.ask({ parser, input });
          if (failure !== undefined) throw new Error(told(group, SEED, failure));
        }
        const { runs, accepted, failure } = await runner.ask({ seconds, seed: SEED });
        if (failure !== undefined) throw new Error(told(group, SEED, await minimised(runner, failure)));
        console.log(`${group}: ${runs} inputs, ${accepted} accepted, seed ${SEED}`);
        // A harness whose every input is refused at once, or accepted, tests nothing.
        expect(accepted).toBeGreaterThan(0);
        expect(accepted).toBeLessThan(runs);
      } finally {
        await runner.stop();
      }
    },
    (seconds + 60) * 1000,
  );
});
