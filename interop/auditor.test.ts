import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
    program = join(mkdtempSync(join(tmpdir(), "assay-auditor-")), "auditor");
    execFileSync("go", ["build", "-o", program, "."], {
      cwd: fileURLToPath(new URL("auditor", import.meta.url)),
      env: { ...process.env, GOFLAGS: "-buildvcs=false", GOTOOLCHAIN: "local" },
    });
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
