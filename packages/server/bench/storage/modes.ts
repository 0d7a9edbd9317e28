/** Both storage modes beside the bare device and bare PostgreSQL, in rounds that take turns, so that a noisy machine is noisy for all. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import { join } from "node:path";
import { nodeCrypto } from "@assay/evidence/node";
import { LogProver } from "../../src/log/prover.ts";
import type { Command } from "../../src/record/command.ts";
import { newestSequence } from "../../src/record/newest.ts";
import { RECORD_LOG, recordLogDirectory } from "../../src/record/open.ts";
import { RecordProver } from "../../src/record/prover.ts";
import type { ReadDatabase } from "../../src/storage/database.ts";
import { openReader } from "../../src/storage/open.ts";
import { S3Client, sha256Hex } from "../../src/storage/s3-client.ts";
import { startWriterThread, type WriterThread } from "../../src/writer-thread.ts";
import { reportCommand } from "../report-command.ts";
import { BarePostgres, streamedFile, syncedBlocks } from "./bare.ts";
import { figure, latencies, median, percentile, perSecond, table, tell, told } from "./figures.ts";
import { ORG } from "./seed.ts";
import { type Place, type PostgresService, type S3Service, type Server, startServer, TOKEN } from "./services.ts";

const ROUNDS = 5;
const WRITERS = 64;
const APPENDS = 2_000;
const LONE = 100;
const RECEIPTS = 1_000;
const READERS = 16;
const MIB = 1024 * 1024;
const BLOB_MIB = Number(process.env["ASSAY_BENCH_BLOB_MIB"] ?? 128);

/** Appends a command and insists on its one receipt. */
export async function append(writer: WriterThread, command: Command): Promise<void> {
  const answer = await writer.client.append(command);
  if (!answer.ok) throw new Error(answer.refusal.message);
  if (answer.receipts.length !== 1) throw new Error("an append without its receipt");
}

/** Figures by name, one for each round. */
class Rounds {
  readonly #values = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.#values.get(name) ?? [];
    values.push(value);
    this.#values.set(name, values);
  }

  get(name: string): readonly number[] {
    return this.#values.get(name) ?? [];
  }

  /** A name's figures divided by another's of the same round; the median, lowest and highest. */
  ratio(name: string, base: string): string {
    const bases = this.get(base);
    const ratios = this.get(name).map((value, round) => value / (bases[round] ?? Number.NaN));
    return `${figure(median(ratios))} (${figure(Math.min(...ratios))}–${figure(Math.max(...ratios))})`;
  }

  row(title: string, name: string, ...bases: readonly (string | undefined)[]): string[] {
    return [
      title,
      figure(median(this.get(name))),
      ...bases.map((base) => (base === undefined ? "" : this.ratio(name, base))),
    ];
  }
}

interface Mode {
  readonly name: "sqlite" | "postgres";
  readonly title: string;
  readonly writer: WriterThread;
  readonly reader: ReadDatabase;
  readonly prover: RecordProver;
}

async function openMode(name: Mode["name"], title: string, place: Place): Promise<Mode> {
  await mkdir(place.dataDirectory, { recursive: true, mode: 0o700 });
  const { dataDirectory, databaseUrl } = place;
  const writer = await startWriterThread({
    dataDirectory,
    org: ORG,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
  });
  for (let count = 0; count < 300; count += 1) await append(writer, reportCommand());
  const reader = openReader(place);
  const log = await LogProver.open(reader, RECORD_LOG, recordLogDirectory(dataDirectory), nodeCrypto);
  return { name, title, writer, reader, prover: new RecordProver(reader, log) };
}

/** Appends and receipts. */
export async function recordModes(directory: string, postgres: PostgresService): Promise<void> {
  const bare = await BarePostgres.open(await postgres.database("bare"));
  const modes = [
    await openMode("sqlite", "SQLite", { dataDirectory: join(directory, "record-sqlite") }),
    await openMode("postgres", "PostgreSQL", {
      dataDirectory: join(directory, "record-postgres"),
      databaseUrl: await postgres.database("record"),
    }),
  ];
  const rounds = new Rounds();
  const lone = new Map<string, number[]>();
  const addLone = (name: string, values: readonly number[]): void => {
    rounds.add(`${name} lone`, median(values));
    lone.set(name, [...(lone.get(name) ?? []), ...values]);
  };
  await bare.group(WRITERS);
  for (let round = 1; round <= ROUNDS; round += 1) {
    tell(`appends and receipts: round ${round} of ${ROUNDS}`);
    const blocks = syncedBlocks(directory, 500);
    rounds.add("device", 1000 / (blocks.reduce((sum, value) => sum + value, 0) / blocks.length));
    addLone("device", blocks);
    rounds.add("bare grouped", WRITERS * (await perSecond(1, 20, () => bare.group(WRITERS))));
    const singles = await latencies(LONE, () => bare.single());
    rounds.add("bare single", 1000 / (singles.reduce((sum, value) => sum + value, 0) / singles.length));
    addLone("bare", singles);
    rounds.add("bare select", await perSecond(READERS, RECEIPTS, () => bare.select()));
    for (const { name, writer, reader, prover } of modes) {
      rounds.add(name, await perSecond(WRITERS, APPENDS, () => append(writer, reportCommand())));
      addLone(name, await latencies(LONE, () => append(writer, reportCommand())));
      const newest = await newestSequence(reader);
      const receipt = async (): Promise<void> => {
        if ((await prover.receipt(Math.floor(Math.random() * newest))) === undefined) throw new Error("no receipt");
      };
      await receipt();
      rounds.add(`${name} receipts`, await perSecond(READERS, RECEIPTS, receipt));
    }
  }
  told();
  for (const { writer, reader } of modes) {
    await writer.stop();
    await reader.close();
  }
  await bare.close();
  const head = ["", "per second", "÷ device", "÷ bare grouped", "÷ bare single"];
  table(head, [
    rounds.row("device: 4 KiB appended and synced", "device"),
    rounds.row(`bare PostgreSQL: the rows of ${WRITERS} appends, one commit`, "bare grouped", "device"),
    rounds.row("bare PostgreSQL: one row, one commit", "bare single", "device"),
    ...modes.map(({ name, title }) =>
      rounds.row(`${title}: appends with proof, ${WRITERS} writers`, name, "device", "bare grouped", "bare single"),
    ),
  ]);
  process.stdout.write("\n");
  table(
    ["one at a time", "median ms", "p99 ms", "÷ device", "÷ bare single"],
    [
      { name: "device", title: "device: 4 KiB appended and synced" },
      { name: "bare", title: "bare PostgreSQL: one row, one commit" },
      ...modes.map(({ name, title }) => ({ name, title: `${title}: append with proof` })),
    ].map(({ name, title }) => {
      const values = lone.get(name) ?? [];
      const ratio = (base: string): string => (name === base ? "" : rounds.ratio(`${name} lone`, `${base} lone`));
      return [
        title,
        figure(median(values)),
        figure(percentile(values, 0.99)),
        ratio("device"),
        name === "device" ? "" : ratio("bare"),
      ];
    }),
  );
  process.stdout.write("\n");
  table(
    ["receipts of random old events", "per second", "÷ bare select"],
    [
      rounds.row(`bare PostgreSQL: the rows of a receipt, ${READERS} asking`, "bare select"),
      ...modes.map(({ name, title }) =>
        rounds.row(`${title}: proved and checked, ${READERS} asking`, `${name} receipts`, "bare select"),
      ),
    ],
  );
}

/** A blob's bytes, no two MiB alike, and its digest. */
function makeBlob(): { pieces: Buffer[]; digest: string } {
  const hash = createHash("sha256");
  const pieces = Array.from({ length: BLOB_MIB }, () => Buffer.concat([randomBytes(64), Buffer.alloc(MIB - 64, 0xa5)]));
  for (const piece of pieces) hash.update(piece);
  return { pieces, digest: `sha256:${hash.digest("hex")}` };
}

const agent = new Agent({ keepAlive: true });

async function drained(response: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}

async function push(url: string, pieces: readonly Buffer[], digest: string): Promise<void> {
  const request = httpRequest(`${url}/v2/${ORG}/bench/blobs/uploads/?digest=${digest}`, {
    method: "POST",
    agent,
    headers: { authorization: `Bearer ${TOKEN}`, "content-length": pieces.length * MIB },
  });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  for (const piece of pieces) if (!request.write(piece)) await once(request, "drain");
  request.end();
  const [response] = await answered;
  await drained(response);
  if (response.statusCode !== 201) throw new Error(`the push was answered ${response.statusCode}`);
}

async function pull(url: string, digest: string): Promise<void> {
  const request = httpRequest(`${url}/v2/${ORG}/bench/blobs/${digest}`, {
    agent,
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  request.end();
  const [response] = await answered;
  if ((await drained(response)) !== BLOB_MIB * MIB) throw new Error(`the pull was answered ${response.statusCode}`);
}

/** Blobs through whole servers, pushed in one request and pulled. */
export async function blobModes(directory: string, postgres: PostgresService, s3: S3Service): Promise<void> {
  const servers: [string, string, Server][] = [
    ["directory", "SQLite + directory", await startServer({ dataDirectory: join(directory, "blobs-directory") })],
    [
      "s3",
      "PostgreSQL + S3",
      await startServer({
        dataDirectory: join(directory, "blobs-s3"),
        databaseUrl: await postgres.database("blobs"),
        s3: s3.location,
      }),
    ],
  ];
  const client = new S3Client(s3.location);
  const rounds = new Rounds();
  const megabytes = (BLOB_MIB * MIB) / 1e6;
  const rate = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return megabytes / ((performance.now() - began) / 1000);
  };
  for (let round = 1; round <= ROUNDS; round += 1) {
    tell(`blobs of ${BLOB_MIB} MiB: round ${round} of ${ROUNDS}`);
    const device = streamedFile(directory, BLOB_MIB);
    rounds.add("device write", device.write);
    rounds.add("device read", device.read);
    const { pieces, digest } = makeBlob();
    const whole = Buffer.concat(pieces);
    const sha256 = sha256Hex(whole);
    rounds.add("bare s3 write", await rate(() => client.put(`bench/${round}`, whole, { sha256 })));
    rounds.add("bare s3 read", await rate(() => client.bytes(`bench/${round}`, whole.length)));
    for (const [name, , { url }] of servers) {
      rounds.add(`${name} write`, await rate(() => push(url, pieces, digest)));
      rounds.add(`${name} read`, await rate(() => pull(url, digest)));
    }
  }
  told();
  agent.destroy();
  await client.close();
  for (const [, , server] of servers) await server.stop();
  const rows = (kind: "write" | "read", verb: string): string[][] => [
    rounds.row(`device: ${kind === "write" ? "1 MiB writes, one sync" : "1 MiB reads, cached"}`, `device ${kind}`),
    rounds.row(`${s3.name} alone: one ${kind === "write" ? "PUT" : "GET"}`, `bare s3 ${kind}`, `device ${kind}`),
    ...servers.map(([name, title]) =>
      rounds.row(
        `${title}: ${verb}`,
        `${name} ${kind}`,
        `device ${kind}`,
        name === "s3" ? `bare s3 ${kind}` : undefined,
      ),
    ),
  ];
  table(
    [`a blob of ${BLOB_MIB} MiB`, "MB/s", "÷ device", "÷ S3 alone"],
    [...rows("write", "push"), ...rows("read", "pull")],
  );
}
