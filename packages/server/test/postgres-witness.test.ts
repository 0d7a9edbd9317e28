import { toHex } from "@assay/evidence";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Core, openCore, temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import { MemoryLog, saying } from "./witness-places.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let hosts: Core[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
  const place = await placeOf(directory.path);
  hosts = [
    await openCore(directory.path, undefined, place),
    await openCore(directory.path, undefined, place),
    await openCore(directory.path, undefined, place),
  ];
});

afterEach(async () => {
  for (const host of hosts) await host.stop().catch(() => undefined);
  await directory.dispose();
});

it("three hosts that are sent forks of one log at once cosign one history of it", async () => {
  const keyId = hosts[0]?.keyring.key("witness").id ?? "";
  const base = new MemoryLog("log.example/one", ["a"]);
  let entries = [...base.entries];
  let size = 0;
  let root: Uint8Array | null = null;
  for (let round = 0; round < 15; round += 1) {
    const forks = hosts.flatMap((host, index) =>
      [0, 1].map((more) => ({ host, entries: [...entries, `${round}-${index}`, ...Array<string>(more).fill("x")] })),
    );
    const answers = await Promise.all(
      forks.map(({ host, entries: forked }) =>
        host.writer.operate("witness.cosign", {
          keyId,
          origin: base.origin,
          oldSize: size,
          oldRoot: root === null ? null : toHex(root),
          size: forked.length,
          root: toHex(base.root(forked)),
          note: "note",
          time: 1,
        }),
      ),
    );
    const won = answers.flatMap((answer, index) =>
      JSON.stringify(answer) === '{"outcome":"recorded"}' ? [forks[index]] : [],
    );
    expect(won).toHaveLength(1);
    entries = won[0]?.entries ?? [];
    size = entries.length;
    root = base.root(entries);
    for (const answer of answers) expect(answer).toMatchObject({ outcome: saying(/recorded|conflict|root/) });
  }
});

it("one host at a time has the turn to ask the witnesses, until it reports or its time is up", async () => {
  const take = async (host: number, leaseMs = 60_000): Promise<unknown> =>
    await hosts[host]?.writer.operate("witness.take-turn", { log: "record", holder: `host ${host}`, leaseMs });
  const first = await Promise.all([take(0), take(1), take(2)]);
  expect(first.filter(Boolean)).toHaveLength(1);
  const holder = first.indexOf(true);
  const other = (holder + 1) % 3;
  expect(await take(holder)).toBe(true);
  expect(await take(other)).toBe(false);
  await hosts[holder]?.writer.operate("witness.report", {
    log: "record",
    holder: `host ${holder}`,
    answers: [],
    witnessed: { size: 5, note: "five" },
  });
  expect(await take(other, 1)).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await take(holder)).toBe(true);
});
