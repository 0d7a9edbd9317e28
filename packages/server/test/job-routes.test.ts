import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { rm } from "node:fs/promises";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { enqueueJob, leasedAnswer } from "../src/jobs/operations.ts";
import { dropPlace, openRaw, placeOf } from "./database.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";

let instance: Instance;
let person: string;

beforeAll(async () => {
  instance = await startInstance();
  await instance.api("POST", "/api/assay/v1/people", { name: "alice" });
  await instance.api("PUT", "/api/assay/v1/orgs/default/members/person/alice", { role: "admin" });
  const key = await instance.api("POST", "/api/assay/v1/people/alice/keys", { label: "laptop" });
  person = (key.body as { key: string }).key;
});

afterAll(async () => {
  await instance.stop();
});

interface Job {
  id: number;
  kind: string;
  state: string;
  attempt: number;
  error: string | null;
}

async function list(query: string): Promise<{ items: Job[]; next: string | null }> {
  const answer = await instance.api("GET", `/api/assay/v1/jobs${query}`);
  expect(answer.status).toBe(200);
  return answer.body as { items: Job[]; next: string | null };
}

/** A job of a kind that no process here knows: it stays as the test leaves it. */
async function die(key?: string): Promise<number> {
  const { id } = await enqueueJob(instance.record, {
    kind: "test.unknown",
    key,
    body: {},
    maxAttempts: 1,
  });
  const leased = (await instance.record.operate("jobs.lease", {
    owner: "test",
    kinds: [{ kind: "test.unknown", slots: 100, leaseMs: 60_000 }],
  })) as { jobs: { id: number; lease: string }[] };
  const lease = leased.jobs.find((job) => job.id === id)?.lease ?? "";
  await instance.record.operate("jobs.fail", { id, lease, error: "it would not", delayMs: 0, final: false });
  return id;
}

it("shows the schedules, what is next and what came of the last occurrence", async () => {
  const answer = await vi.waitFor(async () => {
    const { status, body } = await instance.api("GET", "/api/assay/v1/schedules");
    expect(status).toBe(200);
    const { items } = body as { items: { key: string; next: number; last: unknown; everyMs: number }[] };
    expect(items.map((item) => item.key)).toEqual(
      expect.arrayContaining(["jobs.sweep", "record.write-heads", "registry.sweep"]),
    );
    return items;
  });
  for (const item of answer) expect(item.next).toBeGreaterThan(Date.now());
});

it("lists jobs newest first, in pages, by state and by kind", async () => {
  const ids: number[] = [];
  for (let count = 0; count < 5; count += 1) ids.push(await die());
  const seen: number[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page = await list(
      `?state=dead&kind=test.unknown&limit=2${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`,
    );
    expect(page.items.length).toBeLessThanOrEqual(2);
    seen.push(...page.items.map((item) => item.id));
    cursor = page.next;
  }
  expect(seen).toEqual(ids.toReversed());
  expect((await list("?state=waiting&kind=test.unknown")).items).toEqual([]);
  expect((await list("?kind=no.such")).items).toEqual([]);
  expect((await instance.api("GET", "/api/assay/v1/jobs?state=lost")).status).toBe(400);
  expect((await instance.api("GET", "/api/assay/v1/jobs?cursor=x")).body).toMatchObject({
    error: { code: "cursor-invalid" },
  });
});

it("retries and discards dead letters, and the record says who did", async () => {
  const first = await die();
  const retried = await instance.api("POST", `/api/assay/v1/jobs/${first}/retry`);
  expect(retried).toMatchObject({ status: 200, body: { job: { id: first, state: "waiting", attempt: 0 } } });
  expect(await instance.api("POST", `/api/assay/v1/jobs/${first}/retry`)).toMatchObject({
    status: 409,
    body: { error: { code: "job-not-dead" } },
  });
  const second = await die();
  const discarded = await instance.api("POST", `/api/assay/v1/jobs/${second}/discard`);
  expect(discarded).toMatchObject({ status: 200, body: { job: { id: second, state: "discarded" } } });
  const { receipt } = discarded.body as { receipt: { sequence: number } };
  const { body } = await instance.api("GET", `/api/assay/v1/record/${receipt.sequence}`);
  expect(body).toMatchObject({
    event: { type: "jobs.discarded", actor: "admin", body: { id: second, kind: "test.unknown" } },
  });
  expect((await instance.api("POST", "/api/assay/v1/jobs/1/retry")).status).toBe(404);
  expect((await instance.api("GET", "/api/assay/v1/jobs/1")).body).toMatchObject({ error: { code: "job-unknown" } });
  expect((await instance.api("GET", "/api/assay/v1/jobs/first")).status).toBe(400);
});

it("is for the bootstrap admin alone", async () => {
  const id = await die();
  for (const [method, path] of [
    ["GET", "/api/assay/v1/jobs"],
    ["GET", `/api/assay/v1/jobs/${id}`],
    ["POST", `/api/assay/v1/jobs/${id}/retry`],
    ["POST", `/api/assay/v1/jobs/${id}/discard`],
    ["GET", "/api/assay/v1/schedules"],
  ] as const) {
    expect((await instance.api(method, path, undefined, person)).status, `${method} ${path}`).toBe(403);
    expect((await instance.api(method, path, undefined, "nobody")).status, `${method} ${path}`).toBe(401);
  }
  expect(await instance.api("GET", `/api/assay/v1/jobs/${id}`)).toMatchObject({ status: 200, body: { state: "dead" } });
});

it("asks who retries inside the transaction too", async () => {
  const id = await die();
  const refused = await instance.record.append({
    type: "jobs.retry",
    org: "_system",
    actor: { id: "person:alice", credential: { kind: "api-key", id: person.split("_")[1] ?? "" } },
    body: { id },
  });
  expect(refused).toMatchObject({ ok: false, refusal: { status: 403 } });
});

it("changes nothing of the queue when the record is replayed: what was answered then is over", async () => {
  const other = await startInstance();
  const died = async (id: number): Promise<void> => {
    const { jobs } = leasedAnswer.parse(
      await other.record.operate("jobs.lease", {
        owner: "test",
        kinds: [{ kind: "test.unknown", slots: 1, leaseMs: 60_000 }],
      }),
    );
    const lease = jobs.find((job) => job.id === id)?.lease ?? "";
    await other.record.operate("jobs.fail", { id, lease, error: "no", delayMs: 0, final: true });
  };
  try {
    const { id } = await enqueueJob(other.record, { kind: "test.unknown", body: {}, maxAttempts: 1 });
    await died(id);
    expect((await other.api("POST", `/api/assay/v1/jobs/${id}/retry`)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await died(id);
    await other.halt();
    const place = await placeOf(other.dataDirectory);
    await rebuildDirectory({ ...place, tell: () => undefined });
    const raw = await openRaw(other.dataDirectory);
    expect(await raw.all("select state from job where id = ?", [id])).toEqual([{ state: "dead" }]);
    await raw.close();
  } finally {
    await dropPlace(other.dataDirectory);
    await rm(other.dataDirectory, { recursive: true, force: true });
  }
});

it("counts jobs in the metrics", async () => {
  await die();
  const answer = await fetch(`${instance.url}/metrics`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });
  const text = await answer.text();
  expect(text).toMatch(/assay_jobs\{state="dead",kind="test\.unknown"\} [1-9]/);
  expect(text).toMatch(/assay_jobs_dead [1-9]/);
  expect(text).toMatch(/assay_jobs_oldest_waiting_seconds \d/);
});

it("is described in the OpenAPI document", async () => {
  const document = (await (await fetch(`${instance.url}/openapi.json`)).json()) as { paths: Record<string, unknown> };
  for (const path of [
    "/api/assay/v1/jobs",
    "/api/assay/v1/jobs/{id}",
    "/api/assay/v1/jobs/{id}/retry",
    "/api/assay/v1/jobs/{id}/discard",
    "/api/assay/v1/schedules",
  ]) {
    expect(Object.keys(document.paths)).toContain(path);
  }
});
