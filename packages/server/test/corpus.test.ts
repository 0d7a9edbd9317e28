/** Data directories kept from earlier states (test/corpus/README.md), under today's program. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { cp, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { parseVkey, type RecordReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { backUp } from "../src/backup/backup.ts";
import { restore } from "../src/backup/restore.ts";
import { composeParts, MIGRATIONS } from "../src/composition.ts";
import { decodeEnvelope, liftEvent } from "../src/record/event.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openReader, openWriter } from "../src/storage/open.ts";
import { databasePath } from "../src/storage/sqlite.ts";
import { temporaryDirectory } from "./core.ts";
import { ENGINE, placeOf } from "./database.ts";
import { freePort } from "./free-port.ts";
import { ADMIN_TOKEN } from "./instance.ts";
import { startProcess } from "./server-process.ts";

const CORPUS = fileURLToPath(new URL("./corpus/", import.meta.url));
const STATES = readdirSync(CORPUS)
  .filter((name) => name.endsWith(".tar.gz"))
  .map((name) => basename(name, ".tar.gz"));

interface AsThen {
  readonly vkey: string;
  readonly checkpoint: string;
  readonly reads: Readonly<Record<string, unknown>>;
  readonly receipts: readonly RecordReceipt[];
}

const AUTHORIZATION = `Basic ${Buffer.from(`admin:${ADMIN_TOKEN}`).toString("base64")}`;

/** What says where and when was asked: links, the newest sequence, receipts (they speak of the newest checkpoint). */
const PASSING = new Set(["receipt", "links", "asOf"]);

/** Whether a member lasts: of a refusal that is found anew each time, the code does; its sentence is for people and may be put better. */
function lasts(name: string, of: object): boolean {
  const isRefusal = "status" in of && of.status === "refused" && "code" in of;
  return !PASSING.has(name) && !(isRefusal && name === "message");
}

/** An answer without what does not last. */
function lasting(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lasting);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (lasts(name, value) ? [[name, lasting(item)]] : [])),
  );
}

interface Kept {
  readonly data: string;
  readonly asThen: AsThen;
  readonly parent: string;
}

/** Unpacks a state. */
async function unpack(state: string): Promise<Kept> {
  const { path: parent } = await temporaryDirectory();
  await promisify(execFile)("tar", ["-xzf", join(CORPUS, `${state}.tar.gz`), "-C", parent]);
  return {
    parent,
    data: join(parent, "data"),
    asThen: JSON.parse(await readFile(join(parent, "as-then.json"), "utf8")) as AsThen,
  };
}

describe.each(ENGINE === "sqlite" ? STATES : [])("a data directory of %s", (state) => {
  let parent: string;
  let data: string;
  let asThen: AsThen;
  const check = async (against: string) =>
    (await checkDirectory({ dataDirectory: data, tell: () => undefined, against })).findings.map(
      ({ kind, where, problem }) => `${kind} ${where}: ${problem}`,
    );

  beforeAll(async () => {
    ({ parent, data, asThen } = await unpack(state));
  });
  afterAll(() => rm(parent, { recursive: true, force: true }));

  it("starts, and answers as it did then", async () => {
    const server = await startProcess(data, await freePort());
    try {
      for (const [path, answer] of Object.entries(asThen.reads)) {
        const response = await fetch(`${server.url}${path}`, { headers: { authorization: AUTHORIZATION } });
        expect(response.status, path).toBe(200);
        const now: unknown = await response.json();
        // A later program may say more of a thing, and have keys of more purposes; it says nothing else.
        const { keys = [], ...was } = lasting(answer) as { readonly keys?: readonly unknown[] };
        const { keys: keysNow = [], ...is } = lasting(now) as { readonly keys?: readonly unknown[] };
        expect(is, path).toMatchObject(was);
        for (const key of keys) expect(keysNow, path).toContainEqual(key);
      }
      const fresh = await fetch(`${server.url}/api/assay/v1/orgs`, {
        method: "POST",
        headers: { authorization: AUTHORIZATION, "content-type": "application/json" },
        body: JSON.stringify({ name: "later" }),
      });
      expect(fresh.status).toBe(201);
    } finally {
      server.signal("SIGTERM");
      expect(await server.ended).toBe(0);
    }
  });

  it("holds, also against its checkpoint of then, and its receipts of then verify", async () => {
    expect(await check(asThen.checkpoint)).toEqual([]);
    const keys = [parseVkey(asThen.vkey)];
    expect(asThen.receipts.length).toBeGreaterThan(40);
    for (const receipt of asThen.receipts) {
      expect((await verifyReceipt(nodeCrypto, receipt, keys)).sequence).toBe(receipt.sequence);
    }
  });

  it("has events that are all lifted to their newest version", async () => {
    const { events } = composeParts();
    const reader = openReader({ dataDirectory: data });
    try {
      const rows = await reader
        .tables<{ event: { sequence: number; bytes: Uint8Array } }>()
        .selectFrom("event")
        .selectAll()
        .execute();
      for (const { sequence, bytes } of rows) {
        const envelope = decodeEnvelope(bytes);
        expect(liftEvent(sequence, envelope, events.get(envelope.type)).type).toBe(envelope.type);
      }
    } finally {
      await reader.close();
    }
  });

  it("has the schema that a new directory has", async () => {
    const fresh = await temporaryDirectory();
    const database = openWriter({ dataDirectory: fresh.path });
    await migrate(database, MIGRATIONS);
    await database.close();
    const columns = (dataDirectory: string): unknown[] => {
      const raw = new DatabaseSync(databasePath(dataDirectory));
      const found = raw
        .prepare(
          `select t.name as place, c.name, c.type, c."notnull", c.pk from sqlite_schema t, pragma_table_info(t.name) c
           union all select i.tbl_name || ' ' || i.name, x.name, '', 0, x.seqno from sqlite_schema i, pragma_index_info(i.name) x
           where i.type = 'index' order by 1, 2`,
        )
        .all();
      raw.close();
      return found;
    };
    expect(columns(data)).toEqual(columns(fresh.path));
    await fresh.dispose();
  });

  it("is rebuilt to the identical tables", async () => {
    await rebuildDirectory({ dataDirectory: data, tell: () => undefined });
    expect(await check(asThen.checkpoint)).toEqual([]);
  });
});

/** Every earlier state was SQLite's: this is the way from there. */
describe.each(ENGINE === "postgres" ? STATES : [])("a data directory of %s", (state) => {
  it("moves into PostgreSQL by a backup", async () => {
    const { parent, data, asThen } = await unpack(state);
    await rebuildDirectory({ dataDirectory: data, tell: () => undefined });
    const archive = join(parent, "backup.tar");
    await backUp({ dataDirectory: data, to: archive, tell: () => undefined });
    const { path, dispose } = await temporaryDirectory();
    const { databaseUrl } = await placeOf(path);
    await cp(join(data, "master.key"), join(path, "master.key"));
    const restored = await restore({ dataDirectory: path, databaseUrl, archives: [archive], tell: () => undefined });
    expect(restored.vkey).toBe(asThen.vkey);
    // The start after the upgrade may have recorded something of its own.
    expect(restored.events).toBeGreaterThanOrEqual(asThen.receipts.length);
    const server = await startProcess(path, await freePort(), { ASSAY_DATABASE_URL: databaseUrl ?? "" });
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    const report = await checkDirectory({
      dataDirectory: path,
      databaseUrl,
      against: asThen.checkpoint,
      tell: () => undefined,
    });
    expect(report.findings).toEqual([]);
    await rm(parent, { recursive: true, force: true });
    await dispose();
  });
});
