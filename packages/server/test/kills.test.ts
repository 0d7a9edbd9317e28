/**
 * Servers killed at random moments while images, evidence, trust and people are written: on SQLite and the directory, and on PostgreSQL
 * and S3, where the database is killed too.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { temporaryDirectory } from "./core.ts";
import { ENGINE } from "./database.ts";
import { freePort } from "./free-port.ts";
import { type PostgresServer, startPostgres } from "./postgres-server.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";
import { blobSettings, s3Of } from "./stored-blobs.ts";
import { lostOverHttp, type Promised, promisedBy, RefusedWrite, type Write, WriteLoad } from "./write-load.ts";

const LONG = process.env["ASSAY_LONG"] === "1";
const KILLS = LONG ? 200 : 20;

/** In every so many rounds PostgreSQL is killed as well. */
const DATABASE_KILLED_EVERY = 4;

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
/** This test's own: it is killed. */
let postgres: PostgresServer | undefined;
let running: ServerProcess | undefined;

beforeAll(async () => {
  directory = await temporaryDirectory();
  postgres = ENGINE === "postgres" ? await startPostgres() : undefined;
});

afterAll(async () => {
  running?.signal("SIGKILL");
  await running?.ended;
  await postgres?.stop();
  await directory.dispose();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function databaseUrl(): string | undefined {
  return postgres?.url("postgres");
}

async function start(port: number): Promise<ServerProcess> {
  const url = databaseUrl();
  return await startProcess(directory.path, port, {
    ...blobSettings(directory.path),
    ...(url === undefined ? {} : { ASSAY_DATABASE_URL: url }),
  });
}

/** Starts a server, asks it for everything promised, and checks its record. @returns what is wrong. */
async function wrongAfter(port: number, promised: readonly Promised[]): Promise<unknown[]> {
  running = await start(port);
  const lost = await lostOverHttp(running.url, promised);
  const report = await checkDirectory({
    dataDirectory: directory.path,
    databaseUrl: databaseUrl(),
    s3: s3Of(directory.path),
    tell: () => undefined,
  });
  running.signal("SIGKILL");
  await running.ended;
  return [...lost, ...report.findings];
}

it(
  `loses nothing acknowledged through ${KILLS} SIGKILLs while images, evidence, trust and people are written, and check finds everything whole`,
  async () => {
    const port = await freePort();
    const load = new WriteLoad("");
    const wrong: unknown[] = [];
    let artifact: string | undefined;
    for (let kill = 0; kill < KILLS; kill += 1) {
      running = await start(port);
      const server = running;
      load.url = server.url;
      const before = load.writes.length;
      const answered = (): Write[] =>
        load.writes.slice(before).filter((write) => write.status !== undefined && write.status < 300);
      let ending = false;
      let databaseAway = false;
      let failure: unknown;
      const again = async (write: (count: number) => Promise<unknown>): Promise<void> => {
        for (let count = 0; !ending && failure === undefined; count += 1) {
          try {
            await write(count);
          } catch (error) {
            // What the kill cut off was not acknowledged. A living server refuses only while its database is away, and says so.
            if (!ending && !(databaseAway && error instanceof RefusedWrite && error.status >= 500)) failure ??= error;
          }
        }
      };
      const writers = [
        ...[0, 1, 2].map((pusher) =>
          again(async (count) => {
            const tag = `k${kill}-p${pusher}-${count}`;
            artifact = await load.push("default/crash", tag, { layer: 2000, whole: 1500, chunk: 1000 });
            if (count % 3 === 2) await load.deleteTag("default/crash", tag);
          }),
        ),
        again(async () => (artifact === undefined ? await pause(5) : await load.judge("default", artifact))),
        again(() => load.trust("default")),
        again(() => load.people()),
      ];
      // A random moment by what was done, not by the clock: a slow machine kills no sooner than a quick one.
      const enough = 10 + Math.random() * 40;
      while (answered().length < enough && failure === undefined) await pause(1);
      await pause(Math.random() * 20);
      if (postgres !== undefined && kill % DATABASE_KILLED_EVERY === 1) {
        databaseAway = true;
        await postgres.kill();
        await pause(300);
      }
      ending = true;
      server.signal("SIGKILL");
      await server.ended;
      await Promise.all(writers);
      if (failure !== undefined) throw new Error("a living server refused a write", { cause: failure });
      if (LONG) wrong.push(...(await wrongAfter(port, promisedBy(answered(), load.writes.slice(before)))));
      expect(wrong, `after kill ${kill}`).toEqual([]);
    }
    const promised = load.promised();
    expect(promised.length).toBeGreaterThan(10 * KILLS);
    expect(await wrongAfter(port, promised)).toEqual([]);
  },
  LONG ? 7_200_000 : 600_000,
);
