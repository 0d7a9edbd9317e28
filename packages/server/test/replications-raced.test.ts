/** Replication while what it goes by, or what it copies, changes: under another rule, another run, another registry's limits. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { Progress } from "../src/mirrors/progress.ts";
import type { JobTables } from "../src/jobs/schema.ts";
import type { Instance } from "./instance.ts";
import { ADMIN_TOKEN, imageOf, OCI_MANIFEST, startMirror, v2 } from "./mirror-room.ts";
import { plainRegistry, type PlainRegistry } from "./plain-registry.ts";
import { pushBlob, pushImage } from "./pushing.ts";

const API = "/api/assay/v1/orgs/default";

interface Run {
  state: string;
  underWay: boolean;
  copied: number;
  failed: number;
  problem: string | null;
}

let here: Instance;
let plain: PlainRegistry;

beforeAll(async () => {
  plain = await plainRegistry();
  // Itself as well: a replication may lead back here.
  here = await startMirror([plain.host, "127.0.0.1"]);
}, 60_000);

afterEach(() => {
  plain.before = () => Promise.resolve(undefined);
  plain.asked.splice(0);
});

afterAll(async () => {
  await here.stop();
  await plain.close();
});

async function set(name: string, more: object): Promise<void> {
  const { status, body } = await here.api("PUT", `${API}/replications/${name}`, {
    direction: "push",
    repositories: [`default/${name}`],
    url: `${plain.url}/backup`,
    ...more,
  });
  expect(status, JSON.stringify(body)).toBe(200);
}

async function runOf(name: string): Promise<Run | null> {
  const { body } = await here.api("GET", `${API}/replications/${name}`);
  return (body as { all: Run | null }).all;
}

async function begin(name: string): Promise<void> {
  expect((await here.api("POST", `${API}/replications/${name}/run`)).status).toBe(202);
}

async function settled(name: string): Promise<Run> {
  return await vi.waitFor(
    async () => {
      const run = await runOf(name);
      if (run === null || run.state === "running" || (run.state === "done" && run.underWay)) {
        throw new Error(`not yet: ${JSON.stringify(run)}`);
      }
      return run;
    },
    { timeout: 25_000, interval: 50 },
  );
}

/** Holds up the first request that matches, until it is let go. */
function holding(question: RegExp): { readonly held: Promise<void>; readonly release: () => void } {
  let release: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  plain.before = async (asked) => {
    if (!question.test(asked)) return undefined;
    reached();
    await released;
    return undefined;
  };
  return { held, release: () => release() };
}

const has = (repository: string, reference: string): boolean =>
  plain.manifests.has(`backup/${repository} ${reference}`);

it("a run under a former rule says nothing of the one that stands: what that names is copied", async () => {
  await pushImage(here.url, "default/changed", "1.0.0", randomBytes(100));
  await pushImage(here.url, "default/added", "1.0.0", randomBytes(100));
  await set("changed", {});
  const { held, release } = holding(/^PUT .*\/manifests\/1\.0\.0/);
  await begin("changed");
  await held;
  await set("changed", { repositories: ["default/changed", "default/added"] });
  release();
  await vi.waitFor(() => expect(has("added", "1.0.0")).toBe(true), { timeout: 25_000, interval: 100 });
  await here.api("DELETE", `${API}/replications/changed`);
}, 40_000);

it("a rule that is taken back while a run goes on sends nothing more out", async () => {
  const tags = ["1.0.0", "1.0.1", "1.0.2", "1.0.3"];
  for (const tag of tags) await pushImage(here.url, "default/withdrawn", tag, randomBytes(100));
  await set("withdrawn", {});
  const { held, release } = holding(/^PUT .*\/manifests\/1\.0\.0/);
  await begin("withdrawn");
  await held;
  expect((await here.api("DELETE", `${API}/replications/withdrawn`)).status).toBe(200);
  await sleep(1_100);
  release();
  await vi.waitFor(() => expect(has("withdrawn", "1.0.0")).toBe(true));
  await sleep(3_500);
  expect(tags.filter((tag) => has("withdrawn", tag))).toEqual(["1.0.0"]);
}, 40_000);

it("a tag that moved while a slower run copied it ends up there as it is here", async () => {
  const former = await pushImage(here.url, "default/moving", "latest", randomBytes(100));
  await set("moving", {});
  const { held, release } = holding(new RegExp(`^PUT .*/manifests/latest`));
  await begin("moving");
  await held;
  const moved = await pushImage(here.url, "default/moving", "latest", randomBytes(100));
  release();
  expect(await settled("moving")).toMatchObject({ state: "done", failed: 0 });
  expect(moved.manifest).not.toBe(former.manifest);
  const latest = plain.manifests.get("backup/moving latest");
  const named = await v2(here, "GET", "default/moving/manifests/latest");
  expect(latest?.toString()).toBe(named.bytes.toString());
  expect(has("moving", moved.manifest)).toBe(true);
}, 40_000);

it("evidence that lies there unlisted, as after a run that was killed, is listed by the next", async () => {
  const { manifest } = await pushImage(here.url, "default/listed", "1.0.0", randomBytes(100));
  const [layer, config] = [Buffer.from("about it"), Buffer.from("{}")];
  for (const bytes of [layer, config]) await pushBlob(here.url, "default/listed", bytes);
  const about = imageOf(config, [layer], {
    artifactType: "application/vnd.example.sbom",
    subject: { mediaType: OCI_MANIFEST, digest: manifest, size: 10 },
  });
  const path = `default/listed/manifests/${about.digest}`;
  expect((await v2(here, "PUT", path, { body: about.bytes, type: about.type })).status).toBe(201);
  await set("listed", {});
  await begin("listed");
  expect(await settled("listed")).toMatchObject({ state: "done" });
  const tag = `backup/listed ${manifest.replace(":", "-")}`;
  const listed = plain.manifests.get(tag);
  expect(listed?.toString()).toContain(about.digest);
  plain.manifests.delete(tag);
  await begin("listed");
  await vi.waitFor(() => expect(plain.manifests.get(tag)?.toString()).toBe(listed?.toString()), { timeout: 20_000 });
}, 40_000);

it("a registry that asks to be left alone is asked nothing more by the run, nor soon again", async () => {
  for (const tag of ["1.0.0", "1.0.1", "1.0.2"]) await pushImage(here.url, "default/busy", tag, randomBytes(100));
  await set("busy", {});
  plain.before = () => Promise.resolve({ status: 429, headers: { "retry-after": "300" } });
  await begin("busy");
  const run = await settled("busy");
  expect(run).toMatchObject({ state: "failed", copied: 0, failed: 1 });
  expect(run.problem).toContain("answers 429");
  expect(plain.asked).toHaveLength(1);
  await vi.waitFor(async () => {
    const { due } = await here.reader
      .tables<JobTables>()
      .selectFrom("job")
      .select("due")
      .where("held_key", "=", "default/busy/all")
      .where("state", "=", "waiting")
      .executeTakeFirstOrThrow();
    expect(due).toBeGreaterThan(Date.now() + 200_000);
  });
  await here.api("DELETE", `${API}/replications/busy`);
}, 40_000);

it("a replication that leads back into what it copies does not copy its copies", async () => {
  await pushImage(here.url, "default/loop/app", "1.0.0", randomBytes(100));
  const more = {
    repositories: ["default/loop/**", "default/copies/**"],
    url: `${here.url}/default/copies`,
    credential: { username: "admin", password: ADMIN_TOKEN },
  };
  await set("loop", more);
  for (let round = 0; round < 2; round += 1) {
    await begin("loop");
    await sleep(200);
    expect(await settled("loop")).toMatchObject({ state: "done", failed: 0 });
  }
  expect((await v2(here, "HEAD", "default/copies/loop/app/manifests/1.0.0")).status).toBe(200);
  expect((await v2(here, "HEAD", "default/copies/copies/loop/app/manifests/1.0.0")).status).toBe(404);
}, 40_000);

it("what another registry said is written down without the character that PostgreSQL cannot hold", async () => {
  const written: unknown[] = [];
  const record = {
    operate: (_type: string, body: Record<string, unknown>) => {
      written.push(body["problem"]);
      return Promise.resolve(null);
    },
  };
  const job = { signal: new AbortController().signal, renew: () => Promise.resolve(), notBefore: () => undefined };
  const progress = new Progress(record, job, { org: "default", subject: "x", started: 1, oneRegistry: true });
  await progress.attempt("tag", () => Promise.reject(new Error("it says \0 it is")));
  await expect(progress.end(undefined)).rejects.toThrow("1 could not be copied");
  expect(written.at(-1)).toBe("tag: it says  it is");
});
