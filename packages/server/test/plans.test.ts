import { mkdir } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { Session } from "node:inspector/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, it } from "vitest";
import { copyTables } from "../bench/storage/copy-tables.ts";
import { seed } from "../bench/storage/seed.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import { useEverything } from "./every-query.ts";
import { type Instance, startInstance } from "./instance.ts";
import { fullScans, listenToStatements, planned } from "./query-plans.ts";

/** ASSAY_LONG=1 asks a record of a million events. */
const EVENTS = process.env["ASSAY_LONG"] === "1" ? 1_000_000 : 0;

const SOURCES = fileURLToPath(new URL("../src/", import.meta.url));

let instance: Instance | undefined;
let disposals: (() => Promise<void>)[] = [];

afterEach(async () => {
  await instance?.stop();
  for (const dispose of disposals) await dispose();
  disposals = [];
});

/** The record that is asked: a fresh one, or one with many events. */
async function place() {
  const directory = await temporaryDirectory();
  disposals.push(() => directory.dispose());
  const dataDirectory = join(directory.path, "data");
  await mkdir(dataDirectory, { mode: 0o700 });
  const found = { dataDirectory, databaseUrl: (await placeOf(directory.path)).databaseUrl };
  if (EVENTS > 0) {
    await seed(dataDirectory, EVENTS, () => undefined);
    if (found.databaseUrl !== undefined) await copyTables(dataDirectory, found.databaseUrl);
  }
  return found;
}

/** The exported functions of every room's queries that were not called while `work` ran. */
async function uncalledQueries(work: () => Promise<void>): Promise<string[]> {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });
  await work();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  session.disconnect();
  const uncalled: string[] = [];
  for (const path of readdirSync(SOURCES, { recursive: true, encoding: "utf8" })) {
    if (!path.endsWith("queries.ts")) continue;
    const exported = Object.keys((await import(join(SOURCES, path))) as object);
    const covered = result.filter(({ url }) => url.endsWith(`/src/${path}`)).flatMap(({ functions }) => functions);
    for (const name of exported) {
      const called = covered.some(({ functionName, ranges }) => functionName === name && (ranges[0]?.count ?? 0) > 0);
      if (!called) uncalled.push(`${path}: ${name}`);
    }
  }
  return uncalled;
}

it(
  "finds an index for every query the server makes",
  async () => {
    const where = await place();
    const statements = listenToStatements();
    const uncalled = await uncalledQueries(async () => {
      instance = await startInstance(where);
      await useEverything(instance);
    });
    // A query that is never made here is never explained: every-query.ts must ask for it.
    expect(uncalled).toEqual([]);
    const explained = planned(statements);
    expect(explained.length).toBeGreaterThan(100);
    expect(await fullScans(where, explained)).toEqual([]);
  },
  EVENTS > 0 ? 900_000 : 60_000,
);
