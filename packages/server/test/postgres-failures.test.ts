/** What happens to hosts when PostgreSQL, the network or another host fails: on a PostgreSQL of this file's own. */
import { sql } from "kysely";
import { Client } from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parseVkey, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { checkDirectory } from "../src/admin/check.ts";
import { readConfig } from "../src/config.ts";
import { ServerError } from "../src/errors.ts";
import type { RecordTables } from "../src/record/schema.ts";
import type { Batch, Reader, WriteDatabase } from "../src/storage/database.ts";
import { openPostgresReader, openPostgresWriter } from "../src/storage/postgres.ts";
import { PreparedStatements } from "../src/storage/postgres-statements.ts";
import { type Core, openCore, take, temporaryDirectory } from "./core.ts";
import { freePort } from "./free-port.ts";
import { ADMIN_TOKEN } from "./instance.ts";
import { type PostgresServer, startPostgres } from "./postgres-server.ts";
import { ADMIN_BASIC, pushImage } from "./pushing.ts";
import { startWire } from "./wire.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";
import { blobSettings, s3Of } from "./stored-blobs.ts";

let server: PostgresServer;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let count = 0;
let url: string;
let ending: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function administer(statement: string, on = "postgres"): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: server.url(on) });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  count += 1;
  await administer(`create database failure_${count}`);
  url = server.url(`failure_${count}`);
});

afterEach(async () => {
  for (const end of ending.toReversed()) await end().catch(() => undefined);
  ending = [];
  await directory.dispose();
});

async function core(wrap: (database: WriteDatabase) => WriteDatabase = (d) => d, databaseUrl = url): Promise<Core> {
  const opened = await openCore(directory.path, wrap, { dataDirectory: directory.path, databaseUrl });
  ending.push(() => opened.stop());
  return opened;
}

async function host(): Promise<ServerProcess> {
  const started = await startProcess(directory.path, await freePort(), {
    ASSAY_DATABASE_URL: url,
    ...blobSettings(directory.path),
  });
  ending.push(async () => {
    started.signal("SIGKILL");
    await started.ended;
  });
  return started;
}

/** Appends until it succeeds, and says how long that took, ms. Only answers that promise recovery may come before. */
async function appendWithin(of: Core, name: string, ms: number): Promise<number> {
  const start = Date.now();
  for (;;) {
    try {
      const appended = await of.writer.append(take(name));
      if (!appended.ok) throw new Error(appended.refusal.message);
      for (const receipt of appended.receipts) await verifyReceipt(nodeCrypto, receipt, [parseVkey(of.log.vkey)]);
      return Date.now() - start;
    } catch (error) {
      const code = error instanceof ServerError ? error.code : undefined;
      const promising = code === "database-unavailable" || code === "database-busy";
      if (!promising || Date.now() - start > ms) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function sequences(): Promise<number[]> {
  const reader = openPostgresReader(url);
  try {
    const rows = await reader
      .tables<RecordTables>()
      .selectFrom("event")
      .select("sequence")
      .orderBy("sequence")
      .execute();
    return rows.map((row) => row.sequence);
  } finally {
    await reader.close();
  }
}

/** What `check` finds wrong. */
async function findings(): Promise<readonly unknown[]> {
  const s3 = s3Of(directory.path);
  const report = await checkDirectory({ dataDirectory: directory.path, databaseUrl: url, s3, tell: () => undefined });
  return report.findings;
}

/** What reading this setting throws. */
function refusalOf(databaseUrl: string): unknown {
  try {
    return readConfig({ ASSAY_DATABASE_URL: databaseUrl }, []);
  } catch (error) {
    return error;
  }
}

it.each([
  "postgres://assay:secret@db.example.com:5432/assay?sslmode=verify-full",
  "postgresql:///assay?host=/run/postgresql",
])("the setting takes %s", (setting) => {
  expect(readConfig({ ASSAY_DATABASE_URL: setting }, []).databaseUrl).toBe(setting);
});

describe("a PostgreSQL that does not make commits durable", () => {
  it("is refused when synchronous_commit is off for the database, and taken again when it is on", async () => {
    const name = new URL(url).pathname.slice(1);
    await administer(`alter database ${name} set synchronous_commit = off`);
    await expect(core()).rejects.toMatchObject({ code: "database-not-durable" });
    await administer(`alter database ${name} reset synchronous_commit`);
    expect((await core()).log.size).toBeGreaterThan(0);
  });

  it("is refused when fsync is off", async () => {
    const unsafe = await startPostgres(["fsync=off"]);
    try {
      await expect(core((d) => d, unsafe.url("postgres"))).rejects.toMatchObject({ code: "database-not-durable" });
    } finally {
      await unsafe.stop();
    }
  });
});

describe("PostgreSQL", () => {
  it("crashing in the middle of a transaction leaves nothing of it; the host says so and recovers by itself", async () => {
    let crash = false;
    const one = await core((database) => ({
      ...database,
      transaction: (work, options) =>
        database.transaction(async (batch) => {
          const result = await work(batch);
          if (crash) {
            crash = false;
            await server.restart();
          }
          return result;
        }, options),
    }));
    await one.writer.append(take("before"));
    const size = one.log.size;
    crash = true;
    await expect(one.writer.append(take("lost"))).rejects.toMatchObject({
      code: expect.stringMatching(/^(database-unavailable|write-unconfirmed)$/) as string,
    });
    expect(await appendWithin(one, "lost", 5_000)).toBeLessThan(5_000);
    expect(await sequences()).toEqual(Array.from({ length: size + 1 }, (_, index) => index));
  });

  it("restarted again and again under load loses nothing acknowledged and leaves nothing half-written", async () => {
    const running = await host();
    const acknowledged: string[] = [];
    const refusals: string[] = [];
    let stopping = false;
    const load = Array.from({ length: 4 }, async (_, pusher) => {
      for (let push = 0; !stopping; push += 1) {
        const tag = `p${pusher}-${push}`;
        await pushImage(running.url, "default/restarted", tag, Buffer.from(tag)).then(
          () => acknowledged.push(tag),
          (error: unknown) => refusals.push(String(error)),
        );
      }
    });
    for (let restart = 0; restart < 4; restart += 1) {
      const before = acknowledged.length;
      await expect.poll(() => acknowledged.length, { timeout: 15_000 }).toBeGreaterThan(before + 5);
      // As a crash: every backend ends where it stands, most of them in a transaction.
      await server.restart();
    }
    const before = acknowledged.length;
    await expect.poll(() => acknowledged.length, { timeout: 15_000 }).toBeGreaterThan(before + 5);
    stopping = true;
    await Promise.all(load);
    expect(refusals.length).toBeGreaterThan(0);
    // At this door sending again is harmless, whatever became of the write.
    expect(refusals.filter((refusal) => !/: 503 /.test(refusal))).toEqual([]);
    for (const tag of acknowledged) {
      const answer = await fetch(`${running.url}/v2/default/restarted/manifests/${tag}`, {
        headers: { authorization: ADMIN_BASIC },
      });
      expect(answer.status, tag).toBe(200);
    }
    const all = await sequences();
    expect(all).toEqual(all.map((_, index) => index));
    running.signal("SIGTERM");
    expect(await running.ended).toBe(0);
    expect(await findings()).toEqual([]);
  }, 120_000);

  it("gone while the server runs makes writes and readiness fail with 503 and comes back by itself", async () => {
    const running = await host();
    await pushImage(running.url, "default/app", "v1", Buffer.from("layer"));
    const name = new URL(url).pathname.slice(1);
    const backends = await administer(`select pid from pg_stat_activity where datname = '${name}'`);
    const pid = await server.pid();
    // The postmaster takes no new connections while stopped; those that are there are ended.
    process.kill(pid, "SIGSTOP");
    const readiness = async (): Promise<number> => (await fetch(`${running.url}/readyz`)).status;
    try {
      for (const backend of backends) process.kill(Number(backend["pid"]), "SIGTERM");
      await expect.poll(readiness, { timeout: 10_000 }).toBe(503);
      const answer = await fetch(`${running.url}/api/assay/v1/orgs`, {
        method: "POST",
        headers: { authorization: `Bearer ${ADMIN_TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify({ name: "acme" }),
      });
      expect(answer.status).toBe(503);
      expect(answer.headers.get("retry-after")).not.toBeNull();
      expect(await answer.json()).toMatchObject({ error: { code: "database-unavailable" } });
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await expect.poll(readiness, { timeout: 10_000 }).toBe(200);
    await pushImage(running.url, "default/app", "v2", Buffer.from("layer 2"));
  });
});

describe("a host", () => {
  it("stopped in the middle of a batch loses its turn within ten seconds, and its batch leaves no trace", async () => {
    const paused = await host();
    let stopping = false;
    const load = Array.from({ length: 4 }, async (_, pusher) => {
      for (let push = 0; push < 400; push += 1) {
        await pushImage(paused.url, "default/paused", `t${pusher}-${push}`, Buffer.from(`${pusher} ${push}`)).catch(
          () => undefined,
        );
        if (stopping) return;
      }
    });
    const other = await host();
    // Stop it again and again until it is stopped while it holds the log's row.
    let held = false;
    for (let attempt = 0; attempt < 200 && !held; attempt += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 20));
      paused.signal("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, 30));
      const rows = await administer(
        `select 1 from pg_stat_activity join pg_locks using (pid) join pg_class on pg_class.oid = relation
         where state like 'idle in transaction%' and relname = 'log_state' and mode = 'RowShareLock'`,
        new URL(url).pathname.slice(1),
      );
      held = rows.length > 0;
      if (!held) paused.signal("SIGCONT");
    }
    expect(held).toBe(true);
    const start = Date.now();
    await pushImage(other.url, "default/other", "v1", Buffer.from("while it is stopped"));
    expect(Date.now() - start).toBeLessThan(10_000);
    stopping = true;
    paused.signal("SIGCONT");
    await Promise.all(load);
    // Both go on, in one history.
    await pushImage(paused.url, "default/paused", "after", Buffer.from("after"));
    await pushImage(other.url, "default/other", "after", Buffer.from("after"));
    const seen = await fetch(`${other.url}/v2/default/paused/manifests/after`, {
      headers: { authorization: ADMIN_BASIC },
    });
    expect(seen.status).toBe(200);
    for (const each of [paused, other]) {
      each.signal("SIGTERM");
      expect(await each.ended).toBe(0);
    }
    expect(await findings()).toEqual([]);
  }, 90_000);

  it("killed under load leaves the other writing at once, and nothing acknowledged is lost", async () => {
    const one = await host();
    const two = await host();
    const acknowledged: string[] = [];
    let killed = false;
    const load = [one, two].flatMap((to, which) =>
      Array.from({ length: 3 }, async (_, pusher) => {
        for (let push = 0; push < 15; push += 1) {
          const tag = `h${which}-p${pusher}-${push}`;
          try {
            await pushImage(to.url, "default/killed", tag, Buffer.from(tag));
            acknowledged.push(tag);
          } catch (error) {
            if (!(killed && to === one)) throw error;
            return;
          }
        }
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 400));
    killed = true;
    one.signal("SIGKILL");
    await Promise.all(load);
    for (const tag of acknowledged) {
      const answer = await fetch(`${two.url}/v2/default/killed/manifests/${tag}`, {
        headers: { authorization: ADMIN_BASIC },
      });
      expect(answer.status, tag).toBe(200);
    }
    two.signal("SIGTERM");
    expect(await two.ended).toBe(0);
    expect(await findings()).toEqual([]);
  }, 60_000);

  it("cut off from the database in the middle of a batch loses its turn within ten seconds and recovers by itself", async () => {
    const wire = await startWire(server.port);
    ending.push(() => wire.close());
    let cut = false;
    const one = await core(
      (database) => ({
        ...database,
        transaction: (work, options) =>
          database.transaction(async (batch) => {
            const result = await work(batch);
            if (cut) wire.freeze();
            return result;
          }, options),
      }),
      url.replace(`:${server.port}/`, `:${wire.port}/`),
    );
    const two = await core();
    await one.writer.append(take("before"));
    cut = true;
    const lost = one.writer.append(take("cut")).then(
      () => "appended",
      (error: unknown) => (error as { code?: string }).code,
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await appendWithin(two, "meanwhile", 10_000)).toBeLessThan(10_000);
    expect(await lost).toMatch(/^(database-unavailable|write-unconfirmed)$/);
    cut = false;
    wire.thaw();
    await appendWithin(one, "after", 10_000);
    const all = await sequences();
    expect(all).toEqual(all.map((_, index) => index));
  }, 60_000);

  it("speaks of neither the password nor the URL when it cannot reach the database or read the setting", async () => {
    const secret = "a-very-secret-word";
    const nowhere = `postgres://assay:${secret}@127.0.0.1:${await freePort()}/assay`;
    const failure = await startProcess(directory.path, await freePort(), { ASSAY_DATABASE_URL: nowhere }).catch(String);
    expect(failure).toContain("database-unavailable");
    expect(failure).not.toContain(secret);
    for (const wrong of [
      `mysql://u:${secret}@h/db`,
      `postgres://u:${secret}@h`,
      `postgres://u:${secret}@h:99999999/db`,
    ]) {
      const error = refusalOf(wrong);
      expect(error).toMatchObject({ code: "config-invalid" });
      expect(String(error)).toContain("ASSAY_DATABASE_URL");
      expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain(secret);
    }
  });
});

it("long statements of an administrator are not cut by the bounds on the writer's sessions", async () => {
  const database = openPostgresWriter(url, 300);
  const slow = sql<{ bound: string }>`select pg_sleep(0.8)::text, current_setting('statement_timeout') as bound`;
  await database.transaction(
    async (batch) => {
      const { rows } = await slow.execute(batch.tables<unknown>());
      expect(rows[0]?.bound).toBe("6h");
    },
    { long: true },
  );
  await expect(database.transaction((batch) => slow.execute(batch.tables<unknown>()))).rejects.toMatchObject({
    code: "database-unavailable",
  });
  await database.close();
});

it("a transaction that could not go back to a savepoint never looks committed, whoever caught the error", async () => {
  const database = openPostgresWriter(url);
  const run = (batch: Batch, statement: string) => sql.raw(statement).execute(batch.tables<unknown>());
  const batch = database.transaction(async (transaction) => {
    await run(transaction, "create table acknowledged (n integer)");
    await transaction
      .savepoint(async () => {
        await run(transaction, "release savepoint command");
        await run(transaction, "select 1/0");
      })
      .catch(() => undefined);
    return "committed";
  });
  await expect(batch).rejects.toThrow("rolled back");
  await database.close();
});

interface Prepared {
  pg_prepared_statements: { statement: string; generic_plans: number; custom_plans: number };
}

/** What the reader's session has prepared about a table, and how often that ran: the pool hands out the session it got back last. */
async function prepared(reader: Reader, table: string): Promise<{ statement: string; runs: number }[]> {
  const rows = await reader.tables<Prepared>().selectFrom("pg_prepared_statements").selectAll().execute();
  return rows
    .filter(({ statement }) => statement.includes(table))
    .map((row) => ({ statement: row.statement, runs: row.generic_plans + row.custom_plans }));
}

it("a statement that comes again is prepared, and one whose table has grown a column since is run all the same", async () => {
  await administer("create table grown (n integer); insert into grown values (1)", `failure_${count}`);
  const reader = openPostgresReader(url);
  ending.push(() => reader.close());
  const all = () =>
    reader.tables<{ grown: { n: number } }>().selectFrom("grown").selectAll().where("n", "=", 1).execute();
  for (let times = 0; times < 4; times += 1) expect(await all()).toEqual([{ n: 1 }]);
  expect(await prepared(reader, '"grown"')).toEqual([{ statement: 'select * from "grown" where "n" = $1', runs: 3 }]);
  await administer("alter table grown add column more text", `failure_${count}`);
  for (let times = 0; times < 3; times += 1) expect(await all()).toEqual([{ n: 1, more: null }]);
});

it("a transaction in which a table grows a column under a prepared statement fails with a promise, and is kept the next time", async () => {
  await administer("create table grown (n integer)", `failure_${count}`);
  const database = openPostgresWriter(url);
  ending.push(() => database.close());
  const add = () =>
    database.transaction((batch) =>
      batch.tables<{ grown: { n: number } }>().insertInto("grown").values({ n: 1 }).returningAll().execute(),
    );
  for (let times = 0; times < 4; times += 1) expect(await add()).toEqual([{ n: 1 }]);
  await administer("alter table grown add column more text", `failure_${count}`);
  await expect(add()).rejects.toMatchObject({ code: "database-busy" });
  expect(await add()).toEqual([{ n: 1, more: null }]);
  expect(await administer("select count(*)::int as rows from grown", `failure_${count}`)).toEqual([{ rows: 5 }]);
});

it("no more statements are prepared than there is room for", () => {
  const statements = new PreparedStatements();
  const names = new Set<string>();
  for (let number = 0; number < 2_000; number += 1) {
    const text = `select ${number} where $1`;
    expect(statements.nameOf(text, [1])).toBeUndefined();
    const name = statements.nameOf(text, [1]);
    if (name !== undefined) names.add(name);
  }
  expect(names.size).toBe(256);
  expect(statements.nameOf("begin; select 1", [])).toBeUndefined();
});

it("a statement with many parameters or a long text is never prepared, however often it comes, and takes no room", () => {
  const statements = new PreparedStatements();
  const second = (text: string, parameters: number): string | undefined => {
    const given = Array.from({ length: parameters }, () => 1);
    statements.nameOf(text, given);
    return statements.nameOf(text, given);
  };
  for (let rows = 0; rows < 300; rows += 1) {
    expect(second(`insert ${rows} values ($1)`, 65)).toBeUndefined();
    expect(second(`insert ${rows} values ($1)${" ".repeat(4_096)}`, 1)).toBeUndefined();
  }
  expect(second("select 1 where $1", 64)).toMatch(/^assay_/);
  expect(second("select 2 where $1".padEnd(4_096), 1)).toMatch(/^assay_/);
});
