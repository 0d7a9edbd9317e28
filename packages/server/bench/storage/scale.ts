/**
 * One record as it grows, in steps of ten: what an append, a receipt, a page of a list, a start, a check and a rebuild cost at each size,
 * and what memory and disk they take. What is flat costs the same in every line.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import type { Command } from "../../src/record/command.ts";
import { databasePath } from "../../src/storage/sqlite.ts";
import { startWriterThread } from "../../src/writer-thread.ts";
import { copyTables } from "./copy-tables.ts";
import {
  figure,
  latencies,
  MB,
  median,
  peakResident,
  perSecond,
  resident,
  diskSettled,
  spread,
  table,
  tell,
  told,
} from "./figures.ts";
import { reportCommand } from "../report-command.ts";
import { append } from "./modes.ts";
import { ORG, randomDigest, seed } from "./seed.ts";
import { environmentOf, type Place, type PostgresService, startServer, TOKEN } from "./services.ts";

const WRITERS = 64;
const APPENDS = 2_000;
const WARM_APPENDS = 6_000;
const STARTS = 3;
const REQUESTS = 200;
/** Go before those that are measured: so many that a server has what it keeps of the log's tree above the leaves, as one has that was asked a while. */
const WARM_REQUESTS = 500;

/** How much a figure may differ between the smallest record and the largest: the machine's own noise, and what log n costs. */
const FLAT = { append: 2, read: 2, start: 1.5, memory: 1.3 };

/** How long reads took, ms. */
interface Reads {
  readonly receipts: readonly number[];
  readonly receiptsPerSecond: number;
  readonly recordPages: readonly number[];
  readonly tagPages: readonly number[];
  readonly evidencePages: readonly number[];
}

/** What was measured at one size. */
interface Line extends Reads {
  readonly mode: string;
  readonly events: number;
  readonly seededPerSecond: number;
  readonly starts: readonly number[];
  readonly idle: number;
  readonly used: number;
  readonly appendCpu: number;
  readonly appendWall: number;
  readonly lone: readonly number[];
  readonly databaseBytes: number;
  readonly tileBytes: number;
  readonly check: Work | undefined;
  readonly rebuild: Work | undefined;
}

/** What one run of an administration command took. */
interface Work {
  readonly perSecond: number;
  readonly peak: number;
}

function bytesUnder(path: string): number {
  let bytes = 0;
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}

async function databaseBytes({ dataDirectory, databaseUrl }: Place): Promise<number> {
  if (databaseUrl === undefined) return statSync(databasePath(dataDirectory)).size;
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ size: string }>("select pg_database_size(current_database()) as size");
  await client.end();
  return Number(rows[0]?.size);
}

/** Runs `assay server check` or `rebuild` as the process it is. */
async function administer(command: "check" | "rebuild", place: Place, events: number): Promise<Work> {
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL("../../src/admin.ts", import.meta.url)), command, "--output", "json"],
    { env: environmentOf(place), stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  let peak = 0;
  const watch = setInterval(() => {
    if (child.pid !== undefined) peak = Math.max(peak, peakResident(child.pid));
  }, 50);
  const [code] = (await once(child, "exit")) as [number | null];
  clearInterval(watch);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${output.slice(0, 2_000)}`);
  return { perSecond: events / ((performance.now() - began) / 1000), peak };
}

async function get(url: string, path: string): Promise<string> {
  const answer = await fetch(url + path, { headers: { authorization: `Bearer ${TOKEN}` } });
  if (!answer.ok) throw new Error(`${path} was answered ${answer.status}: ${await answer.text()}`);
  return await answer.text();
}

/** Artifacts that evidence was attached to, and repositories with tags, drawn from the whole record. */
async function someOf(url: string, anywhere: () => number): Promise<{ subjects: string[]; repositories: string[] }> {
  const subjects: string[] = [];
  const repositories: string[] = [];
  while (subjects.length < REQUESTS || repositories.length < REQUESTS) {
    const { event } = JSON.parse(await get(url, `/api/assay/v1/record/${anywhere()}`)) as {
      event: { type: string; body: { subject?: string; repository?: string } };
    };
    const { subject, repository } = event.body;
    if (event.type === "attestations.evidence-linked" && subject !== undefined) subjects.push(subject);
    if (event.type === "registry.tag-set" && repository !== undefined) repositories.push(repository);
  }
  return { subjects, repositories };
}

function oneOf(values: readonly string[]): string {
  return values[Math.floor(Math.random() * values.length)] ?? "";
}

/** Reads over HTTP, at places drawn from the whole record. */
async function use(url: string, events: number): Promise<Reads> {
  // The first dozen are the record's own birth, which is another organisation's.
  const anywhere = (): number => 20 + Math.floor(Math.random() * (events - 40));
  const { subjects, repositories } = await someOf(url, anywhere);
  const receipt = (): Promise<string> => get(url, `/api/assay/v1/record/${anywhere()}/receipt`);
  const recordPage = (): Promise<string> => get(url, `/api/assay/v1/orgs/${ORG}/record?limit=100&after=${anywhere()}`);
  const tagPage = (): Promise<string> => get(url, `/v2/${oneOf(repositories)}/tags/list?n=100`);
  const evidencePage = (): Promise<string> => get(url, `/api/assay/v1/orgs/${ORG}/attestations/${oneOf(subjects)}`);
  for (const warm of [receipt, recordPage, tagPage, evidencePage]) await latencies(WARM_REQUESTS, warm);
  return {
    receipts: await latencies(REQUESTS, receipt),
    receiptsPerSecond: await perSecond(16, 5 * REQUESTS, receipt),
    recordPages: await latencies(REQUESTS, recordPage),
    tagPages: await latencies(REQUESTS, tagPage),
    evidencePages: await latencies(REQUESTS, evidencePage),
  };
}

/** Gives the server evidence over HTTP, blob and all. @returns its digest. */
async function report(url: string): Promise<string> {
  const answer = await fetch(`${url}/api/assay/v1/orgs/${ORG}/reports`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ subject: randomDigest(), predicateType: "https://example.com/bench/v1", predicate: {} }),
  });
  if (!answer.ok) throw new Error(`a report was answered ${answer.status}: ${await answer.text()}`);
  return ((await answer.json()) as { evidence: string }).evidence;
}

/** Starts the server some times, the last of which it is used. */
async function measureServer(place: Place, events: number) {
  const starts: number[] = [];
  for (let count = 1; count < STARTS; count += 1) {
    const server = await startServer(place);
    starts.push(server.startMs);
    await server.stop();
  }
  const server = await startServer(place);
  starts.push(server.startMs);
  try {
    await sleep(1_000);
    const idle = resident(server.pid);
    const read = await use(server.url, events);
    linked = await report(server.url);
    await perSecond(16, REQUESTS, () => report(server.url));
    return { starts, idle, ...read, used: peakResident(server.pid) };
  } finally {
    await server.stop();
  }
}

/** Appends through a writer thread of this process: what it takes of the processor is all the process takes. */
async function measureAppends({ dataDirectory, databaseUrl }: Place) {
  const writer = await startWriterThread({
    dataDirectory,
    org: ORG,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
  });
  try {
    // A writer that has run for a while has at hand what lies above the leaves of its indexes.
    await perSecond(WRITERS, WARM_APPENDS, () => append(writer, link()));
    const cpu = process.cpuUsage();
    const rate = await perSecond(WRITERS, APPENDS, () => append(writer, link()));
    const { user, system } = process.cpuUsage(cpu);
    const lone = await latencies(REQUESTS, () => append(writer, link()));
    return { appendCpu: (user + system) / APPENDS, appendWall: 1e6 / rate, lone };
  } finally {
    await writer.stop();
  }
}

/** The report that {@link link} attaches to further artifacts. */
let linked = "";

/** The same report about one artifact more: it names no blob that is not there, so that `check` stays content. */
function link(): Command {
  const { body, ...command } = reportCommand();
  return { ...command, body: { ...body, evidence: linked, repository: null } };
}

/** Measures a record of `events` events. `may` says whether a step that does so many events per second still fits the time. */
async function measure(
  mode: string,
  place: Place,
  events: number,
  seededPerSecond: number,
  before: Line | undefined,
  may: (what: string, perSecond: number | undefined) => boolean,
): Promise<Line> {
  await diskSettled();
  tell(`${mode}, ${events} events: server`);
  const server = await measureServer(place, events);
  tell(`${mode}, ${events} events: appends`);
  const appends = await measureAppends(place);
  const sizes = { databaseBytes: await databaseBytes(place), tileBytes: bytesUnder(join(place.dataDirectory, "logs")) };
  tell(`${mode}, ${events} events: check`);
  const check = may("check", before?.check?.perSecond) ? await administer("check", place, events) : undefined;
  tell(`${mode}, ${events} events: rebuild`);
  const rebuild = may("rebuild", before?.rebuild?.perSecond) ? await administer("rebuild", place, events) : undefined;
  const line = { mode, events, seededPerSecond, ...server, ...appends, ...sizes, check, rebuild };
  // The tables come at the end, hours later at the largest sizes: what is known is said now, in case there is no end.
  told();
  process.stdout.write(
    `${mode}, ${events} events: append ${figure(line.appendCpu)} / ${figure(line.appendWall)} µs, receipt ${spread(line.receipts)}, record page ${spread(line.recordPages)}\n`,
  );
  return line;
}

function print(lines: readonly Line[]): void {
  table(
    [
      "mode",
      "events",
      "append µs CPU / wall",
      "lone p50 / p99",
      "receipt p50 / p99",
      "receipts/s",
      "record page",
      "tag page",
      "evidence page",
    ],
    lines.map((line) => [
      line.mode,
      String(line.events),
      `${figure(line.appendCpu)} / ${figure(line.appendWall)}`,
      spread(line.lone),
      spread(line.receipts),
      figure(line.receiptsPerSecond),
      spread(line.recordPages),
      spread(line.tagPages),
      spread(line.evidencePages),
    ]),
  );
  process.stdout.write("\n");
  const work = (done: Work | undefined): string =>
    done === undefined ? "left out" : `${figure(done.perSecond)}/s, ${figure(done.peak / MB)} MB`;
  table(
    [
      "mode",
      "events",
      "start ms",
      "idle MB",
      "peak MB",
      "database B/event",
      "tiles B/event",
      "seeded/s",
      "check",
      "rebuild",
    ],
    lines.map((line) => [
      line.mode,
      String(line.events),
      figure(median(line.starts)),
      figure(line.idle / MB),
      figure(line.used / MB),
      figure(line.databaseBytes / line.events),
      figure(line.tileBytes / line.events),
      figure(line.seededPerSecond),
      work(line.check),
      work(line.rebuild),
    ]),
  );
}

/** The size from which the server's caches (pages of the database, tiles) are full: until then they fill, whatever the record costs. */
const SETTLED = 100_000;

/**
 * The size from which check and rebuild have run long enough that their own memory has settled: the scratch database's pages are full, and
 * the collector has taken back what it lets lie at first. What a run holds on to (about 45 MB) is the same at every size.
 */
const SETTLED_RUN = 1_000_000;

/** What is not flat between the first line and the last. */
function slopes(lines: readonly Line[]): string[] {
  const smallest = lines[0];
  const last = lines.at(-1);
  if (smallest === undefined || last === undefined) return [];
  const settled = lines.find(({ events }) => events >= SETTLED);
  const settledRun = lines.find(({ events }) => events >= SETTLED_RUN);
  const figures: [string, number, Line | undefined, (line: Line) => number][] = [
    ["append, CPU", FLAT.append, smallest, (line) => line.appendCpu],
    ["append, wall", FLAT.append, smallest, (line) => line.appendWall],
    ["receipt, median", FLAT.read, smallest, (line) => median(line.receipts)],
    ["record page, median", FLAT.read, smallest, (line) => median(line.recordPages)],
    ["tag page, median", FLAT.read, smallest, (line) => median(line.tagPages)],
    ["evidence page, median", FLAT.read, smallest, (line) => median(line.evidencePages)],
    ["start, quickest", FLAT.start, smallest, (line) => Math.min(...line.starts)],
    ["server's memory, most", FLAT.memory, settled, (line) => line.used],
    ["check's memory, most", FLAT.memory, settledRun, (line) => line.check?.peak ?? Number.NaN],
    ["rebuild's memory, most", FLAT.memory, settledRun, (line) => line.rebuild?.peak ?? Number.NaN],
  ];
  return figures.flatMap(([what, limit, first, of]) => {
    if (first === undefined || first === last) return [];
    const ratio = of(last) / of(first);
    process.stdout.write(
      `${first.mode}: ${what}: × ${figure(ratio)} from ${first.events} to ${last.events} events${ratio > limit ? "   NOT FLAT" : ""}\n`,
    );
    return ratio > limit ? [what] : [];
  });
}

/**
 * Climbs from 10^4 events to `most`, on SQLite, and as far as `mostOnPostgres` on PostgreSQL. Steps that would not end within `minutes`
 * are left out, and said to be.
 *
 * @returns what was not flat.
 */
export async function climb(
  directory: string,
  postgres: PostgresService,
  limits: { readonly most: number; readonly mostOnPostgres: number; readonly minutes: number },
): Promise<string[]> {
  const deadline = performance.now() + limits.minutes * 60_000;
  const place: Place = { dataDirectory: join(directory, "scale") };
  await mkdir(place.dataDirectory, { mode: 0o700 });
  const sqlite: Line[] = [];
  const shared: Line[] = [];
  for (let events = 10_000; events <= limits.most; events *= 10) {
    const may = (what: string, rate: number | undefined): boolean => {
      const needed = rate === undefined ? 0 : (events / rate) * 1000;
      if (performance.now() + needed < deadline) return true;
      told();
      process.stdout.write(
        `${what} of ${events} events left out: about ${figure(needed / 60_000)} minutes more than ASSAY_BENCH_MINUTES=${limits.minutes} allows\n`,
      );
      return false;
    };
    const { written, seconds } = await seed(place.dataDirectory, events, (done) =>
      tell(`SQLite: ${done} of ${events} events written`),
    );
    sqlite.push(await measure("SQLite", place, events, written / seconds, sqlite.at(-1), may));
    if (events > limits.mostOnPostgres) continue;
    tell(`PostgreSQL: copying ${events} events`);
    const there = {
      dataDirectory: join(directory, `scale-${events}`),
      databaseUrl: await postgres.database(`scale_${events}`),
    };
    // Keys, tiles and blobs as they are; the tables into the other database.
    await cp(place.dataDirectory, there.dataDirectory, {
      recursive: true,
      filter: (path) => !path.startsWith(databasePath(place.dataDirectory)),
    });
    const began = performance.now();
    await copyTables(place.dataDirectory, there.databaseUrl);
    const copied = events / ((performance.now() - began) / 1000);
    shared.push(await measure("PostgreSQL", there, events, copied, shared.at(-1), may));
    await rm(there.dataDirectory, { recursive: true });
  }
  told();
  print([...sqlite, ...shared]);
  process.stdout.write("\n");
  return [...slopes(sqlite), ...slopes(shared)];
}
