import { expect, test } from "vitest";
import { minimised, Runner } from "./campaign.ts";

const PLANTED = new URL("planted.ts", import.meta.url);

async function found(group: string) {
  const runner = new Runner(PLANTED, group, { hangMs: 10_000 });
  try {
    const { failure } = await runner.ask({ seconds: 20, seed: 1 });
    if (failure === undefined) throw new Error("nothing was found");
    return group === "error" ? await minimised(runner, failure) : failure;
  } finally {
    await runner.stop();
  }
}

test.each(["error", "slow", "hang", "crash", "memory"])(
  "finds a parser's fault: %s, with the input that shows it",
  async (group) => {
    const { kind, parser, input } = await found(group);
    expect({ kind, parser }).toEqual({ kind: group, parser: "planted" });
    expect(input).toContain(0xff);
  },
  60_000,
);

test("leaves of the input only what shows the fault", async () => {
  expect([...(await found("error")).input]).toEqual([0xff]);
}, 60_000);

test("finds memory that is kept from input to input", async () => {
  expect(await found("leak")).toMatchObject({ kind: "memory", parser: "all of the group" });
}, 60_000);

test("does the same again with the same seed", async () => {
  const inputs = await Promise.all([found("error"), found("error")]);
  expect(inputs[0]).toEqual(inputs[1]);
}, 60_000);
