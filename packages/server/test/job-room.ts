/** A queue on a record of its own, with a clock that tests move: the room of jobs without HTTP. */
import { z } from "zod";
import { defineJob, type JobContext, type JobDefinition, type Schedule } from "../src/jobs/job.ts";
import { type Enqueued, enqueueJob, leasedAnswer, type NewJob } from "../src/jobs/operations.ts";
import { jobsPart } from "../src/jobs/part.ts";
import { findJob, type JobRow } from "../src/jobs/queries.ts";
import { JobRunner } from "../src/jobs/runner.ts";
import { MasterKey } from "../src/keys/master.ts";
import { recordPart } from "../src/record/heads.ts";
import { openRecord } from "../src/record/open.ts";
import { MIGRATIONS } from "../src/composition.ts";
import { RecordParts } from "../src/record/parts.ts";
import { keysPart } from "../src/record/service-keys.ts";
import type { RecordWriter } from "../src/record/writer.ts";
import type { Reader, Transactor, WriteDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openWriter } from "../src/storage/open.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";

export interface JobRoom {
  readonly writer: RecordWriter;
  readonly database: WriteDatabase;
  /** Everything the runners logged. */
  readonly logged: string[];
  /** Moves the writer's clock forward, ms. */
  pass(ms: number): void;
  enqueue(job: Partial<NewJob> & { kind: string }): Promise<Enqueued>;
  job(id: number): Promise<JobRow>;
  /** Leases by hand, as a process would that then dies. */
  lease(
    kind: string,
    options?: { slots?: number; leaseMs?: number; perLane?: number },
  ): Promise<{ id: number; lease: string }[]>;
  /** A runner that works until the room is disposed or it is stopped. */
  runner(jobs: readonly JobDefinition[], schedules?: readonly Schedule[]): JobRunner;
  /** Makes jobs as other rooms do, inside their operations. */
  write<T>(work: (transactor: Transactor, time: number) => Promise<T>): Promise<T>;
  readonly reader: Reader;
  dispose(): Promise<void>;
}

/** A kind of job for tests. */
export function testJob(
  run: (body: { n?: number | undefined }, context: JobContext) => Promise<void>,
  options: Partial<Pick<JobDefinition, "kind" | "maxAttempts" | "leaseMs" | "atOnce" | "perLane">> = {},
): JobDefinition {
  return defineJob({
    kind: "test.work",
    maxAttempts: 3,
    leaseMs: 60_000,
    body: z.strictObject({ n: z.int().optional() }),
    ...options,
    run,
  });
}

export async function openJobRoom(): Promise<JobRoom> {
  const directory = await temporaryDirectory();
  const opened = openWriter(await placeOf(directory.path));
  let ahead = 0;
  const database: WriteDatabase = { ...opened, now: async () => (await opened.now()) + ahead };
  await migrate(database, MIGRATIONS);
  const may = async () => undefined;
  const { writer } = await openRecord({
    database,
    dataDirectory: directory.path,
    master: MasterKey.fromDirectory(directory.path, true),
    parts: new RecordParts([recordPart, keysPart, jobsPart(may)]),
    founding: [],
    host: undefined,
  });
  const logged: string[] = [];
  const log = {
    warn: (_detail: object, message: string) => void logged.push(message),
    error: (_detail: object, message: string) => void logged.push(message),
  };
  const runners: JobRunner[] = [];
  return {
    writer,
    database,
    logged,
    pass(ms) {
      ahead += ms;
    },
    enqueue: (job) => enqueueJob(writer, { body: {}, maxAttempts: 3, ...job }),
    async job(id) {
      const row = await findJob(database.reader(), id);
      if (row === undefined) throw new Error(`no job ${id}`);
      return row;
    },
    async lease(kind, { slots = 1, leaseMs = 60_000, perLane } = {}) {
      const wanted = { kind, slots, leaseMs, ...(perLane === undefined ? {} : { perLane }) };
      const answer = await writer.operate("jobs.lease", { owner: "by hand", kinds: [wanted] });
      return leasedAnswer.parse(answer).jobs;
    },
    runner(jobs, schedules = []) {
      const owner = `runner ${runners.length}`;
      const runner = new JobRunner({ record: writer, reader: database.reader(), jobs, schedules, owner, log });
      runners.push(runner);
      runner.start();
      return runner;
    },
    write: async (work) => {
      const time = await database.now();
      return await database.transaction((transactor) => work(transactor, time));
    },
    reader: database.reader(),
    async dispose() {
      await Promise.all(runners.map((runner) => runner.stop(500)));
      await writer.stop();
      await database.close();
      await directory.dispose();
    },
  };
}
