import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { LogKey, PretendedLog } from "./pretended-log.ts";
import { type Answer, startPretender } from "./server.ts";

describe("record verify, against a server", () => {
  const key = new LogKey("assay.test/logs/record");
  const entries = ["a", "b", "c", "d", "e", "f", "g"];
  let answer: (url: string) => Answer;
  let server: { url: string; stop(): Promise<void> };
  let desk: Desk;

  beforeEach(async () => {
    server = await startPretender((url) => answer(url));
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: "whatever" });
  });

  afterEach(async () => {
    await server.stop();
    desk.remove();
  });

  const serve = (log: PretendedLog): void => {
    answer = (url) => log.answer(url);
  };
  const verify = (...more: string[]) => desk.assay("record", "verify", ...more);
  const records = (): string[] => readdirSync(desk.path(".config/assay/records"));
  const remembered = (): string => {
    const name = records().find((one) => !one.includes(".conflict-")) ?? "";
    return desk.path(`.config/assay/records/${name}`);
  };

  it("takes the key on trust at first use and says so, then follows the log as it grows", async () => {
    serve(new PretendedLog(key, entries.slice(0, 3)));
    const first = await verify();
    expect(first.stdout).toContain("first look: its key is taken on trust");
    expect(first.exit).toBe(0);
    serve(new PretendedLog(key, entries));
    const second = await verify();
    expect(second.stdout).toContain("everything seen before is still there (3 entries then, 7 now)");
    expect((await verify("--output", "json")).json()).toMatchObject({
      result: "holds",
      size: 7,
      before: 7,
      firstUse: false,
    });
  });

  it("detects that an earlier entry was changed, loudly, and keeps both checkpoints as proof", async () => {
    serve(new PretendedLog(key, entries.slice(0, 5)));
    await desk.must("record", "verify");
    const before = readFileSync(remembered(), "utf8");
    serve(new PretendedLog(key, ["a", "B", ...entries.slice(2)]));
    const { exit, stderr } = await verify();
    expect(stderr).toContain("THE RECORD WAS REWRITTEN");
    expect(stderr).toContain("[record-rewritten]");
    expect(exit).toBe(1);
    const [kept] = records().filter((name) => name.includes(".conflict-"));
    const conflict = JSON.parse(readFileSync(desk.path(`.config/assay/records/${kept}`), "utf8")) as Record<
      string,
      string
    >;
    expect(conflict["checkpoint"]).toMatch(/^assay\.test\/logs\/record\n5\n/);
    expect(conflict["conflicting"]).toMatch(/^assay\.test\/logs\/record\n7\n/);
    // The bent log is not what is remembered, so the next look fails as loudly.
    expect(readFileSync(remembered(), "utf8")).toBe(before);
    expect((await verify("--output", "json")).exit).toBe(1);
  });

  it("detects two logs of one size", async () => {
    serve(new PretendedLog(key, entries));
    await desk.must("record", "verify");
    serve(new PretendedLog(key, [...entries.slice(0, 6), "G"]));
    const { exit, stderr } = await verify();
    expect(stderr).toContain("two different records of the same size");
    expect(exit).toBe(1);
  });

  it("detects that entries were taken away", async () => {
    serve(new PretendedLog(key, entries));
    await desk.must("record", "verify");
    serve(new PretendedLog(key, entries.slice(0, 6)));
    const { exit, stderr } = await verify();
    expect(stderr).toContain("[record-shrunk]");
    expect(exit).toBe(1);
  });

  it("detects a checkpoint of one log beside the proof of another", async () => {
    serve(new PretendedLog(key, entries.slice(0, 3)));
    await desk.must("record", "verify");
    const honest = new PretendedLog(key, entries);
    const forked = new PretendedLog(key, [...entries.slice(0, 6), "G"]);
    answer = (url) => (url.includes("checkpoint") ? forked : honest).answer(url);
    const { exit, stderr } = await verify();
    expect(stderr).toContain("[record-rewritten]");
    expect(exit).toBe(1);
  });

  it("refuses another key than the one pinned at first use", async () => {
    serve(new PretendedLog(key, entries.slice(0, 3)));
    await desk.must("record", "verify");
    serve(new PretendedLog(new LogKey(key.name), entries));
    const { exit, stderr } = await verify();
    expect(stderr).toContain("[record-signature]");
    expect(exit).toBe(1);
  });

  it("holds to a key that was given, from the first look on", async () => {
    serve(new PretendedLog(key, entries));
    const other = new LogKey(key.name);
    expect((await verify("--vkey", other.vkey)).exit).toBe(1);
    expect((await verify("--vkey", key.vkey)).exit).toBe(0);
    const { exit, stderr } = await verify("--vkey", other.vkey);
    expect(stderr).toContain("[record-key-changed]");
    expect(exit).toBe(1);
    expect((await verify("--vkey", "no key")).exit).toBe(2);
  });

  it("refuses a checkpoint of which one byte was altered", async () => {
    const log = new PretendedLog(key, entries);
    answer = (url) => {
      const given = log.answer(url);
      return url.endsWith("checkpoint") ? { ...given, body: given.body.replace("\n7\n", "\n8\n") } : given;
    };
    const { exit, stderr } = await verify();
    expect(stderr).toContain("[record-signature]");
    expect(exit).toBe(1);
  });

  it("cannot find out from a server that shows no checkpoint, or from what it remembers when that is damaged", async () => {
    for (const wrong of [
      { status: 500, body: "{}" },
      { status: 404, body: "{}" },
      { status: 200, type: "text/html", body: "<html>" },
    ]) {
      answer = () => wrong;
      expect((await verify("--vkey", key.vkey)).exit).toBe(3);
      expect((await verify()).exit).toBe(3);
    }
    serve(new PretendedLog(key, entries));
    await desk.must("record", "verify");
    writeFileSync(remembered(), "{}");
    const { exit, stderr } = await verify();
    expect(stderr).toContain("[last-seen-damaged]");
    expect(exit).toBe(3);
  });
});
