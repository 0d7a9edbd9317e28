import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildAuditor } from "./auditor/build.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";

/** An auditor of another language that shares no code with the server (interop/auditor, Go's standard library only). */
describe("an auditor who has nothing but the public tiles and the log's key", () => {
  let server: Server;
  let home: Home;
  let program: string;
  let vkey: string;

  const audit = (...more: string[]) => home.run(program, ["-url", `${server.url}/logs/record`, "-vkey", vkey, ...more]);

  /** Makes `count` facts, and waits until they are published. */
  async function makeFacts(count: number): Promise<void> {
    const headers = { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" };
    let last = 0;
    for (let index = 0; index < count; index += 1) {
      const answer = await fetch(`${server.url}/api/assay/v1/orgs/default/reports`, {
        method: "POST",
        headers,
        body: JSON.stringify({
          subject: `sha256:${index.toString(16).padStart(64, "0")}`,
          predicateType: "https://example.com/report/v1",
          predicate: { index, at: performance.now() },
        }),
      });
      if (answer.status !== 201) throw new Error(await answer.text());
      last = ((await answer.json()) as { receipt: { sequence: number } }).receipt.sequence;
    }
    await fetch(`${server.url}/api/assay/v1/record/${last}/receipt`, { headers });
  }

  beforeAll(async () => {
    program = buildAuditor();
    server = await startServer();
    home = makeHome();
    vkey = (await (await fetch(`${server.url}/logs/record/vkey`)).text()).trim();
    await makeFacts(300);
  });

  afterAll(async () => {
    await server.stop();
    home.remove();
  });

  it("recomputes the root from the entries and finds it signed", async () => {
    const audited = await audit("-save", home.path("first"));
    expect(audited.stdout + audited.stderr).toMatch(
      /3\d\d entries, \d+ tiles, root [0-9a-f]{64}: signature and root hold/,
    );
    expect(audited.code).toBe(0);
  });

  it("finds the log consistent with the checkpoint it kept, after the log has grown and the server restarted", async () => {
    await makeFacts(250);
    await server.stop({ keepData: true });
    server = await startServer({ dataFolder: server.dataFolder, adminToken: server.adminToken });
    const audited = await audit("-previous", home.path("first"));
    expect(audited.stdout).toContain("consistent with the earlier checkpoint over 3");
    expect(audited.code).toBe(0);
  });

  it("finds entries that were acknowledged at their places, and misses one that is not there", async () => {
    const headers = { authorization: `Bearer ${server.adminToken}` };
    const lines: string[] = [];
    for (const sequence of [3, 257, 400]) {
      const answer = await fetch(`${server.url}/api/assay/v1/record/${sequence}/receipt`, { headers });
      lines.push(`${sequence} ${((await answer.json()) as { commitment: string }).commitment}`);
    }
    writeFileSync(home.path("acknowledged"), `${lines.join("\n")}\n`);
    expect((await audit("-includes", home.path("acknowledged"))).stdout).toContain("all 3 acknowledged entries");
    writeFileSync(home.path("acknowledged"), `${lines.join("\n").replace("257", "258")}\n`);
    const missed = await audit("-includes", home.path("acknowledged"));
    expect(missed.code).toBe(1);
    expect(missed.stderr).toContain("entry 258 is not the one");
  });

  it("refuses a checkpoint of another key, and one that says another size", async () => {
    const other = vkey.replace(/.(?==*$)/, (last) => (last === "A" ? "B" : "A"));
    expect((await home.run(program, ["-url", `${server.url}/logs/record`, "-vkey", other])).code).toBe(1);
    writeFileSync(home.path("forged"), readFileSync(home.path("first"), "utf8").replace(/\n(\d+)\n/, "\n7\n"));
    const audited = await audit("-previous", home.path("forged"));
    expect(audited.code).toBe(1);
    expect(audited.stderr).toContain("signature on the checkpoint is wrong");
  });

  it("finds one altered byte of a published tile", async () => {
    const entries = join(server.dataFolder, "logs", "record", "tile", "entries");
    const full = readdirSync(entries).find((name) => /^\d{3}$/.test(name));
    if (full === undefined) throw new Error("no full tile");
    const path = join(entries, full);
    const bytes = readFileSync(path);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const audited = await audit();
    expect(audited.code).toBe(1);
    expect(audited.stderr).toContain("the entries have the root");
  });
});

describe("an auditor of a log that was closed, and of its successor", () => {
  it("finds both whole under their keys: what was kept in the successor, what was lost in the closed log", async () => {
    const program = buildAuditor();
    const home = makeHome();
    let server = await startServer();
    const { dataFolder, adminToken } = server;
    const headers = { authorization: `Bearer ${adminToken}`, "content-type": "application/json" };
    const makeFact = async (name: string): Promise<string> => {
      const answer = await fetch(`${server.url}/api/assay/v1/people`, {
        method: "POST",
        headers,
        body: JSON.stringify({ name }),
      });
      if (answer.status !== 201) throw new Error(await answer.text());
      const { receipt } = (await answer.json()) as { receipt: { sequence: number; commitment: string } };
      return `${receipt.sequence} ${receipt.commitment}\n`;
    };
    const vkeyOf = async (log: string): Promise<string> =>
      (await (await fetch(`${server.url}/logs/${log}/vkey`)).text()).trim();
    const restart = async (between: () => void): Promise<void> => {
      await server.stop({ keepData: true });
      between();
      server = await startServer({ dataFolder, adminToken });
    };
    const database = join(dataFolder, "assay.db");
    const kept = await makeFact("kept");
    await restart(() => copyFileSync(database, home.path("older")));
    const lost = await makeFact("lost");
    const vkey = await vkeyOf("record");
    await server.stop({ keepData: true });
    copyFileSync(home.path("older"), database);
    const assay = fileURLToPath(new URL("../bin/assay", import.meta.url));
    const succeed = ["server", "succeed", "--reason", "the disk was lost", "--data", dataFolder];
    expect((await home.run(assay, succeed)).code).toBe(0);
    server = await startServer({ dataFolder, adminToken });
    const after = await makeFact("after");

    const audit = async (log: string, key: string, entries: string): Promise<number | null> => {
      writeFileSync(home.path("entries"), entries);
      const args = ["-url", `${server.url}/logs/${log}`, "-vkey", key, "-includes", home.path("entries")];
      return (await home.run(program, args)).code;
    };
    const next = await vkeyOf("record");
    expect(next).not.toBe(vkey);
    // Published within moments of the answer.
    await expect.poll(() => audit("record", next, kept + after), { timeout: 10_000 }).toBe(0);
    expect(await audit("record.closed-1", vkey, kept + lost)).toBe(0);
    expect(await audit("record", next, lost)).toBe(1);
    expect(await audit("record", vkey, kept)).toBe(1);
    await server.stop();
    home.remove();
  });
});
