import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { backOffMs } from "../src/jobs/back-off.ts";
import { JOB_LIMITS, KEPT } from "../src/jobs/limits.ts";
import { occurrenceAfter } from "../src/jobs/occurrence.ts";
import { enqueue } from "../src/jobs/operations.ts";
import { countJobs, listSchedules, nextDue } from "../src/jobs/queries.ts";
import type { JobTables } from "../src/jobs/schema.ts";
import { SYSTEM_ORG } from "../src/record/command.ts";
import { ADMIN } from "./core.ts";
import { type JobRoom, openJobRoom, testJob } from "./job-room.ts";

const HOUR = 3_600_000;

let room: JobRoom;

beforeEach(async () => {
  room = await openJobRoom();
});

afterEach(async () => {
  await room.dispose();
});

/** Waits until a job is in a state. */
async function until(id: number, state: string) {
  return await vi.waitFor(
    async () => {
      const job = await room.job(id);
      expect(job.state).toBe(state);
      return job;
    },
    { timeout: 15_000, interval: 20 },
  );
}

function gate(): { opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

describe("a job", () => {
  it("is run with its body, and done", async () => {
    const bodies: unknown[] = [];
    const { id } = await room.enqueue({ kind: "test.work", body: { n: 7 } });
    room.runner([testJob(async (body) => void bodies.push(body))]);
    const job = await until(id, "done");
    expect(bodies).toEqual([{ n: 7 }]);
    expect(job).toMatchObject({ attempt: 1, error: null, lease: null, owner: null, held_key: null });
    expect(job.finished).toBeGreaterThanOrEqual(job.created);
  });

  it("that fails waits longer each time, is run again, and is dead after its last attempt, with the last error", async () => {
    const { id } = await room.enqueue({ kind: "test.work", maxAttempts: 3 });
    const runner = room.runner([
      testJob(async (_body, { attempt }) => {
        throw new Error(`attempt ${attempt}\0 failed`);
      }),
    ]);
    for (const attempt of [1, 2]) {
      const job = await vi.waitFor(async () => {
        const row = await room.job(id);
        expect([row.state, row.attempt]).toEqual(["waiting", attempt]);
        return row;
      });
      expect(job.error).toBe(`attempt ${attempt} failed`);
      expect(job.due - (job.started ?? 0)).toBeGreaterThanOrEqual(1_000 * 2 ** (attempt - 1));
      room.pass(HOUR);
      runner.wake();
    }
    expect(await until(id, "dead")).toMatchObject({ attempt: 3, error: "attempt 3 failed", lease: null });
    room.pass(24 * HOUR);
    expect(await room.lease("test.work")).toEqual([]);
    expect(room.logged).toContain("a job is dead");
  });

  it("whose body its handler cannot read is dead at once", async () => {
    const { id } = await room.enqueue({ kind: "test.work", body: { what: "else" } });
    const run = vi.fn<() => Promise<void>>(async () => undefined);
    room.runner([testJob(run)]);
    const job = await until(id, "dead");
    expect(job.error).toMatch(/what/);
    expect(run).not.toHaveBeenCalled();
  });

  it("may wait before its first run", async () => {
    await room.enqueue({ kind: "test.work", delayMs: HOUR });
    expect(await room.lease("test.work")).toEqual([]);
    room.pass(HOUR);
    expect(await room.lease("test.work")).toHaveLength(1);
  });

  it("is left alone by processes that do not know its kind", async () => {
    const { id } = await room.enqueue({ kind: "test.newer" });
    expect(await room.lease("test.work")).toEqual([]);
    expect((await room.job(id)).state).toBe("waiting");
  });

  it("of a key joins the one that waits or runs, and is new when that one has ended", async () => {
    const job = { kind: "test.work", key: "nightly" };
    const first = await room.enqueue(job);
    expect(first.joined).toBe(false);
    expect(await room.enqueue(job)).toEqual({ id: first.id, joined: true });
    const [held] = await room.lease("test.work", { slots: 5 });
    expect(held?.id).toBe(first.id);
    expect(await room.enqueue(job)).toEqual({ id: first.id, joined: true });
    expect((await room.enqueue({ ...job, key: "weekly" })).joined).toBe(false);
    expect((await room.enqueue({ ...job, kind: "test.other" })).joined).toBe(false);
    await room.writer.operate("jobs.finish", { id: first.id, lease: held?.lease ?? "" });
    const second = await room.enqueue(job);
    expect(second.joined).toBe(false);
    expect(second.id).toBeGreaterThan(first.id);
  });

  it("that succeeds ends the dead letters of its key: their work is done", async () => {
    const dead = await room.enqueue({ kind: "test.work", key: "k", maxAttempts: 1 });
    const other = await room.enqueue({ kind: "test.work", key: "other", maxAttempts: 1 });
    for (const { id, lease } of await room.lease("test.work", { slots: 2 })) {
      await room.writer.operate("jobs.fail", { id, lease, error: "no", delayMs: 0, final: false });
    }
    const next = await room.enqueue({ kind: "test.work", key: "k" });
    room.runner([testJob(async () => undefined)]);
    await until(next.id, "done");
    expect((await room.job(dead.id)).state).toBe("discarded");
    expect((await room.job(other.id)).state).toBe("dead");
  });

  it("is refused where too many of its kind wait", async () => {
    const values = Array.from({ length: JOB_LIMITS.waitingPerKind - 1 }, (_, id) => ({
      id: id + 1,
      kind: "test.work",
      key: null,
      held_key: null,
      body: "{}",
      state: "waiting" as const,
      attempt: 0,
      max_attempts: 3,
      due: 0,
      owner: null,
      lease: null,
      error: null,
      created: 0,
      started: null,
      finished: null,
    }));
    await room.database.transaction(async (batch) => {
      for (let at = 0; at < values.length; at += 500) {
        await batch
          .tables<JobTables>()
          .insertInto("job")
          .values(values.slice(at, at + 500))
          .execute();
      }
    });
    await room.enqueue({ kind: "test.work" });
    await expect(room.enqueue({ kind: "test.work" })).rejects.toMatchObject({ code: "jobs-overloaded" });
    await room.enqueue({ kind: "test.other" });
    // What is scheduled waits for room too, and keeps nobody from making it.
    await room.writer.operate("jobs.schedule", {
      schedules: [{ key: "tick", kind: "test.work", body: {}, everyMs: HOUR, cron: null, maxAttempts: 3 }],
    });
    room.pass(HOUR);
    expect(await room.lease("test.work", { slots: 2 })).toHaveLength(2);
    expect((await listSchedules(room.database.reader()))[0]?.last).toBeNull();
    await room.lease("test.work", { slots: 0 });
    expect((await listSchedules(room.database.reader()))[0]?.last).not.toBeNull();
  });

  it("has a body of bounded size", async () => {
    const body = { n: 1, text: "x".repeat(JOB_LIMITS.bodyBytes) };
    await expect(room.enqueue({ kind: "test.work", body })).rejects.toMatchObject({ code: "command-invalid" });
  });
});

/** A job whose lane its body names. */
const laneJob = (n: number) => ({ kind: "test.work", lane: `lane ${n}`, body: { n }, maxAttempts: 1 });

describe("a lease", () => {
  it("goes to one of many runners", async () => {
    const runs = new Map<number, number>();
    const ids: number[] = [];
    for (let n = 0; n < 60; n += 1) ids.push((await room.enqueue({ kind: "test.work", body: { n } })).id);
    const work = testJob(
      async ({ n = -1 }) => {
        runs.set(n, (runs.get(n) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 1));
      },
      { atOnce: 3 },
    );
    for (let count = 0; count < 5; count += 1) room.runner([work]);
    for (const id of ids) await until(id, "done");
    expect(runs.size).toBe(60);
    expect([...runs.values()].every((count) => count === 1)).toBe(true);
  });

  it("bounds how many of a kind a process runs at once", async () => {
    let now = 0;
    let most = 0;
    const ids: number[] = [];
    for (let n = 0; n < 9; n += 1) ids.push((await room.enqueue({ kind: "test.work" })).id);
    const run = async (): Promise<void> => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => setTimeout(resolve, 10));
      now -= 1;
    };
    room.runner([testJob(run, { atOnce: 2 })]);
    for (const id of ids) await until(id, "done");
    expect(most).toBe(2);
  });

  it("gives no lane more places than its share, and the places it has no share in to others", async () => {
    let most = 0;
    const now = new Map<number, number>();
    const ids: number[] = [];
    // Ten of one lane are due before the two of another; body.n names the lane.
    for (const n of [...Array.from({ length: 10 }, () => 1), 2, 2]) {
      ids.push((await room.write((transactor, time) => enqueue(transactor, laneJob(n), time))).id);
    }
    const order: number[] = [];
    const run = async ({ n = 0 }): Promise<void> => {
      order.push(n);
      now.set(n, (now.get(n) ?? 0) + 1);
      most = Math.max(most, ...now.values());
      await new Promise((resolve) => setTimeout(resolve, 30));
      now.set(n, (now.get(n) ?? 0) - 1);
    };
    room.runner([testJob(run, { atOnce: 4, perLane: 2 })]);
    for (const id of ids) await until(id, "done");
    expect(most).toBe(2);
    expect(order.slice(0, 4).toSorted((a, b) => a - b)).toEqual([1, 1, 2, 2]);
  });

  it("is not asked for again and again while all that waits waits for its own lane", async () => {
    for (let count = 0; count < 3; count += 1) {
      await room.write((transactor, time) => enqueue(transactor, laneJob(1), time));
    }
    expect(await room.lease("test.work", { slots: 3, perLane: 2 })).toHaveLength(2);
    const dueAt = async (perLane: number): Promise<number> =>
      (await nextDue(room.reader, [{ kind: "test.work", free: true, perLane }])) ?? -1;
    const soon = Date.now() + 10_000;
    expect(await dueAt(3)).toBeLessThan(soon);
    // The leases that run: nothing else is to be done.
    expect(await dueAt(2)).toBeGreaterThan(soon);
  });

  it("that ended is lost: the handler is told, its end is refused, and the job is run again by another", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    const [held] = await room.lease("test.work", { leaseMs: 1_000 });
    const { id: leased, lease } = held ?? { id: 0, lease: "" };
    expect(leased).toBe(id);
    room.pass(1_000);
    for (const [type, more] of [
      ["jobs.finish", {}],
      ["jobs.renew", { leaseMs: 1_000 }],
      ["jobs.release", {}],
      ["jobs.fail", { error: "late", delayMs: 0, final: false }],
    ] as const) {
      expect(await room.writer.operate(type, { id, lease, ...more })).toMatchObject({ held: false });
    }
    const [again] = await room.lease("test.work");
    expect(again).toMatchObject({ id, attempt: 2 });
    expect(await room.writer.operate("jobs.finish", { id, lease })).toEqual({ held: false });
    expect((await room.job(id)).state).toBe("running");
    expect(await room.writer.operate("jobs.finish", { id, lease: again?.lease ?? "" })).toEqual({ held: true });
  });

  it("aborts a handler that outlives it, whose work then changes nothing of the job", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    const reasons: unknown[] = [];
    room.runner([
      testJob(
        async (_body, { signal, attempt }) => {
          if (attempt > 1) return;
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          reasons.push((signal.reason as { code?: string }).code);
        },
        { leaseMs: 300 },
      ),
    ]);
    expect(await until(id, "done")).toMatchObject({ attempt: 2 });
    expect(reasons).toEqual(["job-lease-lost"]);
    expect(room.logged).toContain("a job ended after its lease: it is run again");
  });

  it("is kept by a handler that renews it", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    room.runner([
      testJob(
        async (_body, { renew }) => {
          for (let step = 0; step < 10; step += 1) {
            await new Promise((resolve) => setTimeout(resolve, 100));
            await renew();
          }
        },
        { leaseMs: 600 },
      ),
    ]);
    expect(await until(id, "done")).toMatchObject({ attempt: 1 });
  });

  it("of a crashed process ends, and a job that ends every process it runs in is dead in the end", async () => {
    const { id } = await room.enqueue({ kind: "test.work", maxAttempts: 3 });
    for (let run = 1; run <= 3; run += 1) {
      expect(await room.lease("test.work", { leaseMs: 1_000 })).toMatchObject([{ id, attempt: run }]);
      expect(await room.lease("test.work")).toEqual([]);
      room.pass(1_000);
    }
    expect(await room.lease("test.work")).toEqual([]);
    const job = await room.job(id);
    expect(job.state).toBe("dead");
    expect(job.error).toContain("by hand");
  });

  it("of a server that is gone ends when its data's only server starts again", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    expect(await room.lease("test.work")).toHaveLength(1);
    expect(await room.lease("test.work")).toEqual([]);
    await room.writer.operate("jobs.end-leases", {});
    expect(await room.lease("test.work")).toMatchObject([{ id, attempt: 2 }]);
  });

  it("is handed back when the process stops: the handler is told, and the run does not count", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    const begun = gate();
    let reason: unknown;
    const runner = room.runner([
      testJob(async (_body, { signal }) => {
        begun.open();
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        reason = signal.reason;
        throw new Error("interrupted");
      }),
    ]);
    await begun.opened;
    await runner.stop(5_000);
    expect(reason).toMatchObject({ code: "writer-stopped" });
    expect(await room.job(id)).toMatchObject({ state: "waiting", attempt: 0, error: null });
    await room.enqueue({ kind: "test.work" });
    runner.wake();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await room.job(id)).state).toBe("waiting");
  });

  it("of a handler that does not listen is handed back all the same, and what that handler does later is refused", async () => {
    const { id } = await room.enqueue({ kind: "test.work" });
    const begun = gate();
    const release = gate();
    const runner = room.runner([
      testJob(async () => {
        begun.open();
        await release.opened;
      }),
    ]);
    await begun.opened;
    await runner.stop(50);
    expect(await room.job(id)).toMatchObject({ state: "waiting", attempt: 0 });
    release.open();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await room.job(id)).state).toBe("waiting");
  });
});

describe("a schedule", () => {
  const every = { key: "tick", kind: "test.work", body: {}, everyMs: HOUR };

  it("makes one job an occurrence, however many processes there are, and one for all it missed", async () => {
    let runs = 0;
    const work = testJob(async () => {
      runs += 1;
    });
    const runners = [1, 2, 3, 4].map(() => room.runner([work], [every]));
    await vi.waitFor(async () => expect(await listSchedules(room.database.reader())).toHaveLength(1));
    const [before] = await listSchedules(room.database.reader());
    expect(runs).toBe(0);
    for (const [passed, expected] of [
      [HOUR, 1],
      [HOUR, 2],
      [50 * HOUR, 3],
    ] as const) {
      room.pass(passed);
      for (const runner of runners) runner.wake();
      await vi.waitFor(() => expect(runs).toBe(expected), { timeout: 5_000 });
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(runs).toBe(expected);
    }
    const [after] = await listSchedules(room.database.reader());
    expect(((after?.next ?? 0) - (before?.next ?? 0)) % HOUR).toBe(0);
    expect(after?.last_job).not.toBeNull();
    expect((await room.job(after?.last_job ?? 0)).state).toBe("done");
  });

  it("goes on where it stood after a restart, and begins anew when its rhythm is another", async () => {
    const work = testJob(async () => undefined);
    const first = room.runner([work], [every]);
    await vi.waitFor(async () => expect(await listSchedules(room.database.reader())).toHaveLength(1));
    const [before] = await listSchedules(room.database.reader());
    await first.stop(0);
    room.pass(HOUR / 2);
    const second = room.runner([work], [every]);
    await vi.waitFor(async () => expect((await countJobs(room.database.reader())).counts).toEqual([]));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect((await listSchedules(room.database.reader()))[0]?.next).toBe(before?.next);
    await second.stop(0);
    room.runner([work], [{ key: "tick", kind: "test.work", body: {}, cron: "0 3 * * *" }]);
    await vi.waitFor(async () => {
      const [row] = await listSchedules(room.database.reader());
      expect(row).toMatchObject({ cron: "0 3 * * *", every_ms: null });
      expect(new Date(row?.next ?? 0).getUTCHours()).toBe(3);
    });
  });

  it("joins its own job while that one still waits", async () => {
    await room.writer.operate("jobs.schedule", {
      schedules: [{ key: "tick", kind: "test.work", body: {}, everyMs: HOUR, cron: null, maxAttempts: 3 }],
    });
    for (let count = 0; count < 3; count += 1) {
      room.pass(HOUR);
      await room.lease("test.work", { slots: 0 });
    }
    expect((await countJobs(room.database.reader())).counts).toEqual([
      { state: "waiting", kind: "test.work", count: 1 },
    ]);
  });

  it("that makes jobs nobody runs, or has no rhythm, is refused when the program is composed", () => {
    const work = testJob(async () => undefined);
    for (const [schedule, why] of [
      [{ ...every, kind: "test.nobody" }, /no job test\.nobody/],
      [{ ...every, everyMs: 0 }, /every 0 ms/],
      [{ key: "tick", kind: "test.work", body: {}, cron: "not a pattern" }, /no cron pattern/],
      [{ ...every, body: { what: "else" } }, /what/],
    ] as const) {
      expect(() => room.runner([work], [schedule])).toThrow(why);
    }
    expect(() => room.runner([work, work])).toThrow(/twice/);
    expect(() => room.runner([work], [every, every])).toThrow(/twice/);
  });
});

describe("a dead letter", () => {
  async function die(options: { key?: string } = {}): Promise<number> {
    const { id } = await room.enqueue({ kind: "test.work", maxAttempts: 1, ...options });
    const [held] = await room.lease("test.work");
    await room.writer.operate("jobs.fail", { id, lease: held?.lease ?? "", error: "no", delayMs: 0, final: false });
    expect((await room.job(id)).state).toBe("dead");
    return id;
  }

  const answer = (type: string, id: number) =>
    room.writer.append({ type, org: SYSTEM_ORG, actor: ADMIN, body: { id } });

  it("that a person retries is run again with all its attempts, and who did it is recorded", async () => {
    const id = await die();
    const retried = await answer("jobs.retry", id);
    expect(retried).toMatchObject({ ok: true, receipts: [{}] });
    expect(await room.job(id)).toMatchObject({ state: "waiting", attempt: 0, finished: null });
    expect(await answer("jobs.retry", id)).toMatchObject({ ok: false, refusal: { code: "job-not-dead" } });
    expect(await room.lease("test.work")).toMatchObject([{ id, attempt: 1 }]);
  });

  it("that a person discards is not run any more", async () => {
    const id = await die();
    expect(await answer("jobs.discard", id)).toMatchObject({ ok: true, receipts: [{}] });
    expect((await room.job(id)).state).toBe("discarded");
    expect(await answer("jobs.retry", id)).toMatchObject({ ok: false, refusal: { code: "job-not-dead" } });
    expect(await answer("jobs.discard", id + 1)).toMatchObject({ ok: false, refusal: { code: "job-unknown" } });
  });

  it("is not retried while another job does its work", async () => {
    const id = await die({ key: "k" });
    const other = await room.enqueue({ kind: "test.work", key: "k" });
    const refused = await answer("jobs.retry", id);
    expect(refused).toMatchObject({ ok: false, refusal: { code: "job-joined" } });
    expect(JSON.stringify(refused)).toContain(String(other.id));
  });
});

describe("jobs that ended", () => {
  async function put(state: "done" | "dead" | "waiting", finished: number, id: number): Promise<void> {
    await room.database.transaction(async (batch) => {
      await batch
        .tables<JobTables>()
        .insertInto("job")
        .values({
          id,
          kind: "test.work",
          key: null,
          held_key: null,
          body: "{}",
          state,
          attempt: 1,
          max_attempts: 1,
          due: 0,
          owner: null,
          lease: null,
          error: null,
          created: finished,
          started: finished,
          finished,
        })
        .execute();
    });
  }

  it("are kept for their time; those that wait are kept whatever their age", async () => {
    const now = Date.now();
    await put("done", now - KEPT.done.ms - 1_000, 1);
    await put("done", now, 2);
    await put("dead", now - KEPT.done.ms - 1_000, 3);
    await put("dead", now - KEPT.dead.ms - 1_000, 4);
    await put("waiting", 0, 5);
    expect(await room.writer.operate("jobs.sweep", {})).toEqual({ removed: 2 });
    const rows = await room.database
      .reader()
      .tables<JobTables>()
      .selectFrom("job")
      .select("id")
      .orderBy("id")
      .execute();
    expect(rows.map((row) => row.id)).toEqual([2, 3, 5]);
  });
});

describe("the moments of the queue", () => {
  it("an occurrence is always later than now, on the schedule's grid, and the first such", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1_000, max: 1e9 }),
        fc.integer({ min: 0, max: 1e12 }),
        fc.integer({ min: -1e9, max: 1e12 }),
        (everyMs, before, passed) => {
          const now = Math.max(before + passed, 0);
          const next = occurrenceAfter({ everyMs }, before, now);
          expect(next).toBeGreaterThan(Math.max(now, before));
          expect(next - Math.max(now, before)).toBeLessThanOrEqual(everyMs);
          expect((next - before) % everyMs).toBe(0);
        },
      ),
    );
    expect(occurrenceAfter({ cron: "30 2 * * *" }, undefined, Date.UTC(2026, 2, 29, 2, 30))).toBe(
      Date.UTC(2026, 2, 30, 2, 30),
    );
  });

  it("a back-off doubles, is bounded, and is spread", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const wait = backOffMs(attempt, random);
        expect(wait).toBeGreaterThanOrEqual(1_000);
        expect(wait).toBeLessThanOrEqual(HOUR);
        expect(wait).toBeLessThanOrEqual(backOffMs(attempt + 1, random));
      }),
    );
    expect(backOffMs(1, 0)).toBe(1_000);
    expect(backOffMs(1, 1)).toBe(2_000);
    expect(backOffMs(3, 0)).toBe(4_000);
  });
});
