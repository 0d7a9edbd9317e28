import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startPretender, startTestServer, type TestServer } from "./server.ts";

describe("assay jobs with a server", () => {
  let server: TestServer;
  let desk: Desk;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token });
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  it("lists jobs and schedules", async () => {
    const listed = await desk.must("jobs", "schedules");
    expect(listed.stdout).toMatch(/^SCHEDULE +WHEN \(UTC\) +NEXT +LAST +CAME OF IT\n/);
    expect(listed.stdout).toMatch(/registry\.sweep +every 10 minutes +20\d\d-/);
    expect((await desk.must("jobs", "list", "--state", "dead")).stdout).toBe("no jobs\n");
    expect((await desk.must("jobs", "list", "--output", "json")).json()).toEqual(expect.any(Array));
  });

  it("has garbage collected, and says before what would go", async () => {
    const preview = (await desk.must("server", "collect", "--preview")).stdout;
    expect(preview).toMatch(/^looked at +0 blobs, 0 B$/m);
    expect(preview).toMatch(/^would go +0 blobs, 0 B$/m);
    const run = (await desk.must("server", "collect", "--output", "json")).json();
    expect(run).toMatchObject({
      mode: "collect",
      state: "done",
      requestedBy: "admin",
      collected: { blobs: 0, bytes: 0 },
    });
  });

  it("says plainly that a job is not there, or that what was named is none", async () => {
    const unknown = await desk.assay("jobs", "retry", "17");
    expect(unknown.stderr).toContain("there is no job 17 [job-unknown]");
    expect(unknown.exit).not.toBe(0);
    expect((await desk.assay("jobs", "show", "last")).exit).toBe(2);
    expect((await desk.assay("jobs", "list", "--state", "lost")).exit).toBe(2);
  });
});

it("shows a dead letter whole, and what became of it", async () => {
  const job = {
    id: 1795364593000000,
    kind: "registry.sweep",
    key: "registry.sweep",
    state: "dead",
    body: {},
    attempt: 5,
    maxAttempts: 5,
    due: null,
    owner: null,
    error: `the disk is full\n${"and full ".repeat(20)}`,
    created: 1795364593000,
    started: 1795364594000,
    finished: 1795364595000,
  };
  const asked: string[] = [];
  const server = await startPretender((url, method) => {
    asked.push(`${method} ${url}`);
    if (method === "POST") {
      const state = url.endsWith("/retry") ? "waiting" : "discarded";
      return { body: JSON.stringify({ job: { ...job, state, finished: null }, receipt: null }) };
    }
    return { body: JSON.stringify(url.includes("?") ? { items: [job], next: null } : job) };
  });
  const desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: "a-token-for-tests" });
  try {
    const listed = (await desk.must("jobs", "list", "--state", "dead", "--kind", "registry.sweep")).stdout;
    expect(listed).toMatch(/1795364593000000 +registry\.sweep +dead +5\/5 +2026-/);
    expect(listed).toContain("…");
    const shown = (await desk.must("jobs", "show", String(job.id))).stdout;
    expect(shown).toMatch(/^last error +the disk is full and full/m);
    expect(shown).toMatch(/^runs +5 of 5$/m);
    expect((await desk.must("jobs", "retry", String(job.id))).stdout).toMatch(/^state +waiting$/m);
    expect((await desk.must("jobs", "discard", String(job.id))).stdout).toMatch(/^state +discarded$/m);
    expect(asked[0]).toContain("state=dead");
    expect(asked[0]).toContain("kind=registry.sweep");
    expect(asked.slice(2)).toEqual([
      `POST /api/assay/v1/jobs/${job.id}/retry`,
      `POST /api/assay/v1/jobs/${job.id}/discard`,
    ]);
  } finally {
    await server.stop();
    desk.remove();
  }
});
