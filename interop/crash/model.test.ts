/** The trace reader and the simulated disk by themselves: what they make of each call, and what a crash leaves of it. */
import { describe, expect, it } from "vitest";
import { bytesOf, descriptorOf, iovecOf, readCalls, TraceError } from "./calls.ts";
import { seeded, SimulatedDisk } from "./disk.ts";
import { type Step, stepsOf } from "./steps.ts";

const hex = (text: string): string =>
  `"${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}"`;

const trace = (...lines: string[]): string => `${lines.join("\n")}\n`;

describe("the trace reader", () => {
  it("joins a call that others interrupted, and knows where it began and ended", () => {
    const calls = readCalls(
      trace(
        `10 fsync(7</d/a> <unfinished ...>`,
        `11 pwrite64(8</d/b>, ${hex("xy")}, 2, 512) = 2`,
        `10 <... fsync resumed>) = 0`,
        `12 +++ exited with 0 +++`,
      ),
    );
    expect(calls.map(({ thread, name, begin, end, result }) => ({ thread, name, begin, end, result }))).toEqual([
      { thread: 11, name: "pwrite64", begin: 1, end: 1, result: 2 },
      { thread: 10, name: "fsync", begin: 0, end: 2, result: 0 },
    ]);
    expect(calls[0]?.args).toEqual(["8</d/b>", hex("xy"), "2", "512"]);
  });

  it("keeps commas, quotes and parentheses inside arguments, and names of descriptors that are deleted", () => {
    const [call] = readCalls(
      trace(
        `10 writev(9</d/a, (b)>(deleted), [{iov_base=${hex('a,"')}, iov_len=3}, {iov_base=${hex("b)")}, iov_len=2}], 2) = 5`,
      ),
    );
    expect(call?.args.length).toBe(3);
    expect(iovecOf(call?.args[1] ?? "").toString()).toBe('a,"b)');
    expect(descriptorOf(call?.args[0] ?? "")).toEqual({ number: 9, what: "/d/a, (b)" });
  });

  it("gives a call in which the process was killed no result", () => {
    expect(readCalls(trace(`10 rename(${hex("/d/a")}, ${hex("/d/b")} <unfinished ...>`))[0]?.result).toBeUndefined();
    expect(readCalls(trace(`10 rename(${hex("/d/a")}, ${hex("/d/b")}) = ?`))[0]?.result).toBeUndefined();
  });

  it("refuses what it does not understand, rather than leave something out", () => {
    expect(() => readCalls(trace("what is this"))).toThrow(TraceError);
    expect(() => readCalls(trace("10 <... fsync resumed>) = 0"))).toThrow(TraceError);
    expect(() => bytesOf(`${hex("cut short")}...`)).toThrow(TraceError);
    const inside = readCalls(trace(`10 fallocate(5</d/a>, 0, 0, 100) = 0`));
    expect(() => stepsOf(inside, "/d")).toThrow(/does not know fallocate/);
  });
});

describe("the order of effects", () => {
  const steps = (...lines: string[]): string[] =>
    stepsOf(readCalls(trace(...lines)), "/d").map(({ step }) => step.kind);

  it("believes the least: a write counts at its end, an answer from its beginning", () => {
    const opened = `10 openat(AT_FDCWD</>, ${hex("/d/a")}, O_WRONLY|O_CREAT, 0600) = 5</d/a>`;
    const socket = "6<TCP:[127.0.0.1:80->127.0.0.1:5000]>";
    expect(
      steps(
        opened,
        `10 write(5</d/a>, ${hex("x")}, 1 <unfinished ...>`,
        `11 write(${socket}, ${hex("HTTP/1.1 201 Created\r\n")}, 22 <unfinished ...>`,
        `11 <... write resumed>) = 22`,
        `10 <... write resumed>) = 1`,
      ),
    ).toEqual(["open", "answer", "write"]);
  });

  it("leaves out what failed and what is elsewhere", () => {
    expect(
      steps(
        `10 openat(AT_FDCWD</>, ${hex("/e/a")}, O_WRONLY|O_CREAT, 0600) = 5</e/a>`,
        `10 write(5</e/a>, ${hex("x")}, 1) = 1`,
        `10 mkdir(${hex("/d/a")}, 0700) = -1 EEXIST (File exists)`,
      ),
    ).toEqual([]);
  });
});

describe("the simulated disk", () => {
  const bytes = (text: string): Buffer => Buffer.from(text);
  const after = (disk: SimulatedDisk, kind: "unsynced-lost" | "nothing-lost"): Record<string, string> =>
    Object.fromEntries([...disk.after({ kind })].map(([path, content]) => [path, content.toString()]));
  const disk = (...steps: Step[]): SimulatedDisk => {
    const made = new SimulatedDisk();
    for (const step of steps) made.apply(step);
    return made;
  };
  const create = (path: string, descriptor: number): Step => ({
    kind: "open",
    descriptor,
    path,
    create: true,
    truncate: false,
    append: false,
  });
  const write = (descriptor: number, text: string, offset?: number): Step => ({
    kind: "write",
    descriptor,
    bytes: bytes(text),
    offset,
  });
  let syncs = 0;
  const sync = (descriptor: number): Step[] => {
    syncs += 1;
    return [
      { kind: "sync-begin", descriptor, sync: syncs },
      { kind: "sync-end", sync: syncs },
    ];
  };
  const openDirectory = (path: string, descriptor: number): Step =>
    ({ ...create(path, descriptor), create: false }) as Step;

  it("loses a synced file whose name was not synced, and keeps an empty one whose content was not", () => {
    expect(after(disk(create("a", 1), write(1, "x"), ...sync(1)), "unsynced-lost")).toEqual({});
    const named = disk(create("a", 1), write(1, "x"), openDirectory("", 2), ...sync(2));
    expect(after(named, "unsynced-lost")).toEqual({ a: "" });
    expect(after(named, "nothing-lost")).toEqual({ a: "x" });
  });

  it("covers by a sync only what was done before it began", () => {
    const made = disk(
      create("a", 1),
      openDirectory("", 2),
      ...sync(2),
      write(1, "one"),
      { kind: "sync-begin", descriptor: 1, sync: 900 },
      write(1, "two"),
      { kind: "sync-end", sync: 900 },
    );
    expect(after(made, "unsynced-lost")).toEqual({ a: "one" });
    expect(made.pendingPaths()).toEqual(["a"]);
  });

  it("keeps the old file under a name until the rename onto it is synced", () => {
    const made = disk(create("a", 1), write(1, "old"), ...sync(1), openDirectory("", 2), ...sync(2));
    for (const step of [create("b", 3), write(3, "new"), ...sync(3), { kind: "rename", from: "b", to: "a" } as const]) {
      made.apply(step);
    }
    expect(after(made, "unsynced-lost")).toEqual({ a: "old" });
    expect(after(made, "nothing-lost")).toEqual({ a: "new" });
    for (const step of sync(2)) made.apply(step);
    expect(after(made, "unsynced-lost")).toEqual({ a: "new" });
    expect(made.pendingPaths()).toEqual([]);
  });

  it("loses everything below a directory whose own name was not synced", () => {
    const made = disk(
      { kind: "mkdir", path: "d" },
      create("d/a", 1),
      write(1, "x"),
      ...sync(1),
      openDirectory("d", 2),
      ...sync(2),
    );
    expect(after(made, "unsynced-lost")).toEqual({});
    for (const step of [openDirectory("", 3), ...sync(3)]) made.apply(step);
    expect(after(made, "unsynced-lost")).toEqual({ "d/": "", "d/a": "x" });
  });

  it("still owes what a killed process had not synced", () => {
    const made = disk(create("a", 1), write(1, "x"));
    made.processEnded();
    expect(after(made, "nothing-lost")).toEqual({ a: "x" });
    expect(after(made, "unsynced-lost")).toEqual({});
  });

  it("follows positions: appending, seeking, cutting and writing past the end", () => {
    const made = disk(
      { ...create("a", 1), append: true } as Step,
      write(1, "abc"),
      write(1, "def"),
      { kind: "resize", file: 1, size: 4 },
      create("a", 2),
      { kind: "seek", descriptor: 2, offset: 6 },
      write(2, "z"),
    );
    expect(after(made, "nothing-lost")).toEqual({ a: "abcd\0\0z" });
  });

  it("tears writes at sectors, by a chance that can be repeated", () => {
    const made = disk(create("a", 1), openDirectory("", 2), ...sync(2), write(1, "x".repeat(4096)));
    const left = (seed: number): Buffer =>
      made.after({ kind: "some-lost", random: seeded(seed) }).get("a") ?? bytes("");
    const torn = Array.from({ length: 40 }, (_, seed) => left(seed)).filter(
      (content) => content.includes(0) && content.includes("x"),
    );
    expect(torn.length).toBeGreaterThan(3);
    for (const content of torn) {
      for (let at = 0; at < content.length; at += 512) {
        expect(new Set(content.subarray(at, at + 512)).size).toBe(1);
      }
    }
    expect(left(5)).toEqual(left(5));
  });

  it("refuses steps that do not fit what is there", () => {
    expect(() => disk(openDirectory("nowhere", 1))).toThrow(/not there/);
    expect(() => disk(write(4, "x"))).toThrow(/not open/);
  });
});
