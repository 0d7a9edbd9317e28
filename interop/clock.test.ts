/** A server whose clock is set back an hour while it runs: a real process, by a library that is preloaded into it (interop/clock). */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, makeHome, runProgram, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const HOUR = 3600;
const ADMIN = fileURLToPath(new URL("../packages/server/src/admin.ts", import.meta.url));

describe.skipIf(process.platform !== "linux")(
  "a server whose clock is set (Linux only: a preloaded library sets it)",
  () => {
    let folder: string;
    let home: Home;
    let image: Image;
    let server: Server;
    let newest = 0;
    let pushes = 0;

    const env = (): Record<string, string> => ({
      LD_PRELOAD: join(folder, "clock.so"),
      ASSAY_TEST_CLOCK: join(folder, "step"),
      ASSAY_LOG_LEVEL: "warn",
    });

    /** Sets the server's clock so many seconds beside the true time. */
    function setClock(seconds: number): void {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(seconds));
      // In place: the server has mapped this very file.
      writeFileSync(join(folder, "step"), bytes, { flag: "r+" });
    }

    const basic = (): string => `Basic ${Buffer.from(`admin:${server.adminToken}`).toString("base64")}`;

    /** The server's own idea of the time, ms. */
    async function serverClock(): Promise<number> {
      const answer = await fetch(`${server.url}/healthz`);
      return Date.parse(answer.headers.get("date") ?? "");
    }

    /** Records a fact, quickly; its time is never before that of the one before. @returns its time, ms. */
    async function report(): Promise<number> {
      const answer = await fetch(`${server.url}/api/assay/v1/orgs/default/reports`, {
        method: "POST",
        headers: { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" },
        body: JSON.stringify({
          subject: `sha256:${randomBytes(32).toString("hex")}`,
          predicateType: "https://example.com/report/v1",
          predicate: {},
        }),
        signal: AbortSignal.timeout(5_000),
      });
      expect(answer.status).toBe(201);
      const { receipt } = (await answer.json()) as { receipt: { event: string } };
      const { time } = JSON.parse(Buffer.from(receipt.event, "base64").toString()) as { time: number };
      expect(time).toBeGreaterThanOrEqual(newest);
      newest = time;
      return time;
    }

    /** A real client pushes and pulls: it gets tokens, uploads, and finds what it pushed. */
    async function pushAndPull(): Promise<void> {
      pushes += 1;
      const reference = `${server.host}/default/app:t${pushes}`;
      await home.must("crane", ["push", image.layout, reference]);
      expect(await home.must("crane", ["digest", reference])).toBe(image.digest);
      const file = `file-${pushes}`;
      writeFileSync(home.path(file), randomBytes(1000));
      await home.must("oras", ["push", "--plain-http", `${server.host}/default/files:t${pushes}`, file]);
    }

    async function token(): Promise<string> {
      const query = new URLSearchParams({ service: new URL(server.url).host, scope: "repository:default/app:pull" });
      const answer = await fetch(`${server.url}/v2/token?${query.toString()}`, { headers: { authorization: basic() } });
      expect(answer.status).toBe(200);
      return ((await answer.json()) as { token: string }).token;
    }

    const tags = async (bearer: string): Promise<number> =>
      (await fetch(`${server.url}/v2/default/app/tags/list`, { headers: { authorization: `Bearer ${bearer}` } }))
        .status;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "assay-clock-"));
      // A C compiler is part of what Go needs, too; any will do.
      execFileSync("cc", [
        "-O2",
        "-shared",
        "-fPIC",
        "-o",
        join(folder, "clock.so"),
        fileURLToPath(new URL("clock/clock.c", import.meta.url)),
      ]);
      writeFileSync(join(folder, "step"), Buffer.alloc(8));
      server = await startServer({ env: env() });
      home = makeHome();
      image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
      await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
      await report();
      await pushAndPull();
    });

    afterAll(async () => {
      await server.stop();
      home.remove();
      rmSync(server.dataFolder, { recursive: true, force: true });
      rmSync(folder, { recursive: true, force: true });
    });

    it("back an hour: facts keep their order, uploads and leases go on, and clients get new tokens", async () => {
      const early = await token();
      expect(await tags(early)).toBe(200);
      const bytes = randomBytes(300_000);
      const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
      const headers = { authorization: basic(), "content-type": "application/octet-stream" };
      const opened = await fetch(`${server.url}/v2/default/app/blobs/uploads/`, { method: "POST", headers });
      const first = await fetch(opened.headers.get("location") ?? "", {
        method: "PATCH",
        headers,
        body: bytes.subarray(0, 100_000),
      });
      expect(first.status).toBe(202);
      const before = await report();

      setClock(-HOUR);
      // Its Date header is renewed once a second.
      await expect.poll(serverClock).toBeLessThan(Date.now() - (HOUR - 60) * 1000);
      // The time of facts stands still until the clock has caught up; it does not go back, and nothing waits for it.
      expect(await report()).toBe(before);
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
      const rest = await fetch(`${first.headers.get("location")}?digest=${digest}`, {
        method: "PUT",
        headers,
        body: bytes.subarray(100_000),
      });
      expect(rest.status).toBe(201);
      const head = await fetch(`${server.url}/v2/default/app/blobs/${digest}`, { method: "HEAD", headers });
      expect(head.status).toBe(200);
      // A token of the time before is one from the future: refused, and a client asks for another by itself.
      expect(await tags(early)).toBe(401);
      const late = await token();
      expect(await tags(late)).toBe(200);
      await pushAndPull();

      // Set right again: what was given meanwhile has run out, what was given before is good for the rest of its life.
      setClock(0);
      expect(await tags(late)).toBe(401);
      expect(await tags(early)).toBe(200);
      expect(await report()).toBeGreaterThan(before);
      await pushAndPull();
    });

    it("ahead an hour and right again: facts stand at the later time, and nothing is refused", async () => {
      setClock(HOUR);
      const ahead = await report();
      expect(ahead).toBeGreaterThan(Date.now() + (HOUR - 60) * 1000);
      await pushAndPull();
      setClock(0);
      expect(await report()).toBeGreaterThanOrEqual(ahead);
      await pushAndPull();
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    });

    it("and started again with the clock an hour behind its record: it goes on", async () => {
      await server.stop({ keepData: true });
      setClock(-HOUR);
      server = await startServer({ dataFolder: server.dataFolder, adminToken: server.adminToken, env: env() });
      await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
      const before = newest;
      expect(await report()).toBeGreaterThanOrEqual(before);
      await pushAndPull();
      expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    });

    it("and `check` finds nothing wrong with any of it", async () => {
      const checked = await runProgram(process.execPath, [ADMIN, "check", "--data", server.dataFolder], {
        env: { PATH: process.env["PATH"] ?? "" },
      });
      expect(checked.code, checked.stdout + checked.stderr).toBe(0);
    });
  },
);
