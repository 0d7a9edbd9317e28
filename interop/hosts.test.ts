/**
 * Two hosts with a directory each on one PostgreSQL and one S3, both written to by real clients, while the one that sequences is killed,
 * stopped, or cut off. Nothing but the public tiles and the acknowledgements decides whether it went well: interop/auditor.
 */
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../packages/server/test/free-port.ts";
import { type PostgresServer, startPostgres } from "../packages/server/test/postgres-server.ts";
import type { S3Server } from "../packages/server/test/s3-server.ts";
import { s3Settings } from "../packages/server/test/stored-blobs.ts";
import { startWire, type Wire } from "../packages/server/test/wire.ts";
import { buildAuditor } from "./auditor/build.ts";
import { type Home, makeHome, runProgram, type Server, type ServerOptions, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";
import { type CutOff, makeCutOff, whyNoCutOff } from "./cut-off.ts";
import { startVersitygw } from "./versitygw.ts";

const ADMIN = fileURLToPath(new URL("../packages/server/src/admin.ts", import.meta.url));

/** How often each fault is caused; more in the long run. */
const ROUNDS = process.env["ASSAY_LONG"] === "1" ? 10 : 1;

/** How long writes on the other host may stand still, ms. */
const FAILOVER_MS = 10_000;

/** How long a fault lasts, ms: longer than PostgreSQL lets a silent host keep its transaction. */
const FAULT_MS = 9_000;

const DATABASE = "hosts";

/** What came of writing to one host: everything it acknowledged, and when. */
class Load {
  readonly entries = new Map<number, string>();
  readonly tags: { repository: string; tag: string; digest: string }[] = [];
  readonly failures: string[] = [];
  readonly acknowledged: number[] = [];
  #stopped = false;
  readonly #done: Promise<unknown>;

  constructor(host: () => Server, name: string, home: Home, image: Image) {
    this.#done = Promise.all([
      this.#reports(host, name, 1),
      this.#reports(host, name, 2),
      this.#pushes(host, name, home, image),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  /** The longest time between two acknowledgements from `since` on, ms. */
  pause(since: number): number {
    const times = [since, ...this.acknowledged.filter((time) => time > since), performance.now()];
    return Math.max(...times.slice(1).map((time, index) => time - (times[index] ?? time)));
  }

  async #reports(host: () => Server, name: string, writer: number): Promise<void> {
    for (let count = 0; !this.#stopped; count += 1) {
      const server = host();
      try {
        const answer = await fetch(`${server.url}/api/assay/v1/orgs/default/reports`, {
          method: "POST",
          headers: { authorization: `Bearer ${server.adminToken}`, "content-type": "application/json" },
          body: JSON.stringify({
            subject: `sha256:${randomBytes(32).toString("hex")}`,
            predicateType: "https://example.com/report/v1",
            predicate: { name, writer, count },
          }),
          signal: AbortSignal.timeout(30_000),
        });
        const body = (await answer.json()) as { receipt?: { sequence: number; commitment: string } };
        if (answer.status !== 201 || body.receipt === undefined)
          throw new Error(`${answer.status} ${JSON.stringify(body)}`);
        this.entries.set(body.receipt.sequence, body.receipt.commitment);
        this.acknowledged.push(performance.now());
      } catch (error) {
        this.failures.push(String(error));
        await sleep(100);
      }
      await sleep(10);
    }
  }

  async #pushes(host: () => Server, name: string, home: Home, image: Image): Promise<void> {
    const repository = `default/${name}`;
    for (let count = 0; !this.#stopped; count += 1) {
      const server = host();
      const tag = `t${count}`;
      const reference = `${server.host}/${repository}:${tag}`;
      const file = `${name}-${count}.txt`;
      writeFileSync(home.path(file), randomBytes(20_000));
      const pushed =
        count % 2 === 0
          ? await home.run("oras", ["push", "--plain-http", "--format", "json", reference, file])
          : await home.run("crane", ["push", image.layout, reference]);
      if (pushed.code !== 0) {
        this.failures.push(pushed.stderr);
        await sleep(100);
        continue;
      }
      const digest = /sha256:[0-9a-f]{64}/.exec(
        count % 2 === 0 ? pushed.stdout.replace(/[\s\S]*"digest"/, "") : pushed.stdout,
      );
      this.tags.push({ repository, tag, digest: digest?.[0] ?? pushed.stdout });
    }
  }
}

let postgres: PostgresServer;
let s3: S3Server;
let auditor: string;

beforeAll(async () => {
  auditor = buildAuditor();
  [postgres, s3] = await Promise.all([startPostgres(), startVersitygw()]);
  // Each host has a role of its own: by that the database tells whose transaction is whose.
  for (const role of ["first", "second"]) await query(`create role ${role} superuser login`);
});

afterAll(async () => {
  await Promise.all([postgres.stop(), s3.stop()]);
});

async function query(statement: string, database = "postgres"): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: postgres.url(database) });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

/** Two hosts under load, and what watches them. The first is the one that faults befall. */
class Hosts {
  readonly root = mkdtempSync(join(tmpdir(), "assay-hosts-"));
  readonly home = makeHome(["198.18.0.0/15"]);
  readonly token = randomBytes(24).toString("base64url");
  readonly #database: string;
  readonly #options: readonly [ServerOptions, ServerOptions];
  /** Every checkpoint that was seen, and the file it is kept in. */
  readonly #checkpoints = new Map<string, string>();
  readonly #shown = new Map<Server, string>();
  readonly loads: Load[] = [];
  first!: Server;
  second!: Server;
  #watching: NodeJS.Timeout | undefined;

  /** @param place where the first host runs and how it reaches the others. */
  constructor(
    database: string,
    place: { database: string; s3: string; listen: string; within?: readonly string[] },
    secondListen: string,
  ) {
    this.#database = database;
    const options = (folder: string, url: string, endpoint: string, listen: string): ServerOptions => ({
      dataFolder: join(this.root, folder),
      adminToken: this.token,
      env: {
        ASSAY_LISTEN: listen,
        ASSAY_DATABASE_URL: url.replace("assay:secret@", `${folder}:secret@`),
        ASSAY_LOG_LEVEL: "warn",
        ...s3Settings({ ...s3.location, endpoint, prefix: database }),
      },
    });
    this.#options = [
      {
        ...options("first", place.database, place.s3, place.listen),
        ...(place.within === undefined ? {} : { within: place.within }),
      },
      options("second", postgres.url(database), s3.location.endpoint, secondListen),
    ];
    for (const { dataFolder } of this.#options) mkdirSync(dataFolder ?? "");
  }

  /** As docs/operations.md, "Several hosts", says: the first founds the record, the second gets its keys. */
  async start(): Promise<void> {
    await query(`create database ${this.#database}`);
    this.first = await startServer(this.#options[0]);
    for (const name of ["keys", "master.key"]) {
      cpSync(join(this.root, "first", name), join(this.root, "second", name), { recursive: true });
    }
    this.second = await startServer(this.#options[1]);
    const image = makeImage({ layout: this.home.path("image"), packages: ["yaml"] });
    for (const host of [this.first, this.second]) {
      await this.home.must("crane", ["auth", "login", host.host, "-u", "admin", "-p", this.token]);
    }
    this.loads.push(
      new Load(() => this.first, "first", this.home, image),
      new Load(() => this.second, "second", this.home, image),
    );
    this.#watching = setInterval(() => void this.#watch(), 200);
    await sleep(1_500);
  }

  async restartFirst(): Promise<void> {
    this.first = await startServer(this.#options[0]);
  }

  async #watch(): Promise<void> {
    for (const host of [this.first, this.second]) {
      try {
        const answer = await fetch(`${host.url}/logs/record/checkpoint`, { signal: AbortSignal.timeout(1_000) });
        if (answer.status === 200) {
          const note = await answer.text();
          this.#shown.set(host, note);
          if (!this.#checkpoints.has(note)) {
            this.#checkpoints.set(note, join(this.root, `checkpoint-${this.#checkpoints.size}`));
          }
        }
      } catch {
        // It is stopped, killed or cut off.
      }
    }
  }

  /** Whether the first host holds the log's row in a transaction that does not go on. */
  async sequencing(): Promise<boolean> {
    const rows = await query(
      `select 1 from pg_stat_activity join pg_locks using (pid) join pg_class on pg_class.oid = relation
       where usename = 'first' and state like 'idle in transaction%' and relname = 'log_state' and mode = 'RowShareLock'`,
      this.#database,
    );
    return rows.length > 0;
  }

  /** Hits the first host again and again until it is hit while it holds the log's row. */
  async strikeInBatch(hit: () => unknown, heal: () => unknown): Promise<number> {
    for (let attempt = 0; attempt < 300; attempt += 1) {
      await sleep(10 + Math.random() * 40);
      const time = performance.now();
      await hit();
      await sleep(60);
      if (await this.sequencing()) return time;
      await heal();
    }
    throw new Error("the first host was never hit in the middle of a batch");
  }

  /** Writes on the second host go on while the first is out, and on the first again afterwards. */
  async outlast(name: string, since: number, heal: () => unknown): Promise<void> {
    const [first, second] = this.loads;
    if (first === undefined || second === undefined) throw new Error("there is no load");
    const failedBefore = second.failures.length;
    await sleep(Math.max(0, FAULT_MS - (performance.now() - since)));
    const pause = second.pause(since);
    process.stdout.write(`${name}: writes on the other host stood still for ${(pause / 1000).toFixed(2)} s at most\n`);
    expect(pause).toBeLessThan(FAILOVER_MS);
    expect(second.failures.slice(failedBefore)).toEqual([]);
    await heal();
    const healed = performance.now();
    await expect
      .poll(() => first.acknowledged.some((time) => time > healed), { timeout: 30_000, interval: 50 })
      .toBe(true);
  }

  /** Ends the load and lets everything be verified. */
  async verify(): Promise<void> {
    for (const load of this.loads) await load.stop();
    clearInterval(this.#watching);
    // Each follows the other within moments: to the end of what either acknowledged.
    const newest = Math.max(...this.loads.flatMap((load) => [...load.entries.keys()]));
    const sizes = async (): Promise<(string | undefined)[]> => {
      await this.#watch();
      return [this.first, this.second].map((host) => this.#shown.get(host)?.split("\n")[1]);
    };
    const followed = async (): Promise<boolean> => {
      const [one, other] = await sizes();
      return one === other && Number(one) > newest;
    };
    await expect.poll(followed, { timeout: 30_000, interval: 200 }).toBe(true);
    const [first, second] = this.loads;
    expect(first?.tags.length, first?.failures.join("\n")).toBeGreaterThan(0);
    expect(second?.tags.length, second?.failures.join("\n")).toBeGreaterThan(3);

    // No acknowledged push is lost: each host has what the other was given.
    for (const { repository, tag, digest } of this.loads.flatMap((load) => load.tags)) {
      for (const host of [this.first, this.second]) {
        const answer = await fetch(`${host.url}/v2/${repository}/manifests/${tag}`, {
          method: "HEAD",
          headers: { authorization: `Basic ${Buffer.from(`admin:${this.token}`).toString("base64")}` },
        });
        expect(`${answer.status} ${answer.headers.get("docker-content-digest")}`, `${repository}:${tag}`).toBe(
          `200 ${digest}`,
        );
      }
    }

    // No fork: what both hosts ever showed, and all they acknowledged, is one history, in the tiles of each.
    for (const [note, path] of this.#checkpoints) writeFileSync(path, note);
    const lines = this.loads.flatMap((load) => [...load.entries].map(([sequence, entry]) => `${sequence} ${entry}\n`));
    writeFileSync(join(this.root, "acknowledged"), lines.join(""));
    const vkey = (await (await fetch(`${this.second.url}/logs/record/vkey`)).text()).trim();
    for (const host of [this.first, this.second]) {
      const audited = await runProgram(auditor, [
        "-url",
        `${host.url}/logs/record`,
        "-vkey",
        vkey,
        "-includes",
        join(this.root, "acknowledged"),
        ...[...this.#checkpoints.values()].flatMap((path) => ["-previous", path]),
      ]);
      expect(audited.stderr).toBe("");
      expect(audited.code).toBe(0);
      expect(audited.stdout).toContain(`all ${lines.length} acknowledged entries are at their places`);
    }
    process.stdout.write(
      `${this.#database}: ${lines.length} reports and ${this.loads.flatMap((load) => load.tags).length} pushes acknowledged, ${this.#checkpoints.size} checkpoints seen, one history\n`,
    );

    // `check` finds nothing wrong on either host, which run meanwhile.
    for (const { dataFolder, env } of this.#options) {
      const checked = await runProgram(process.execPath, [ADMIN, "check", "--data", dataFolder ?? ""], {
        env: {
          PATH: process.env["PATH"] ?? "",
          ...env,
          ASSAY_DATABASE_URL: postgres.url(this.#database),
          ...s3Settings({ ...s3.location, prefix: this.#database }),
        },
      });
      expect(checked.code, checked.stdout + checked.stderr).toBe(0);
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#watching);
    await Promise.all(this.loads.map((load) => load.stop()));
    for (const host of [this.first, this.second]) {
      host?.signal("SIGCONT");
      await host?.stop();
    }
    this.home.remove();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** {@link Hosts.outlast}. */
async function expectSurvival(hosts: Hosts, name: string, since: number, heal: () => unknown): Promise<void> {
  await hosts.outlast(name, since, heal);
}

/** {@link Hosts.verify}. */
async function expectOneHistory(hosts: Hosts): Promise<void> {
  await hosts.verify();
}

describe("two hosts on one PostgreSQL and one S3", () => {
  let hosts: Hosts;
  let wire: Wire;

  beforeAll(async () => {
    wire = await startWire(postgres.port);
    const database = postgres.url(DATABASE).replace(`:${postgres.port}/`, `:${wire.port}/`);
    const place = { database, s3: s3.location.endpoint, listen: `127.0.0.1:${await freePort()}` };
    hosts = new Hosts(DATABASE, place, `127.0.0.1:${await freePort()}`);
    await hosts.start();
  });

  afterAll(async () => {
    wire.thaw();
    await hosts.stop();
    await wire.close();
  });

  for (let round = 1; round <= ROUNDS; round += 1) {
    it(`go on when the sequencing one is killed (${round})`, async () => {
      const since = performance.now();
      hosts.first.signal("SIGKILL");
      await expectSurvival(hosts, "SIGKILL", since, () => hosts.restartFirst());
    });

    it(`go on when the sequencing one is stopped in the middle of a batch, and continued (${round})`, async () => {
      const heal = (): void => hosts.first.signal("SIGCONT");
      const since = await hosts.strikeInBatch(() => hosts.first.signal("SIGSTOP"), heal);
      await expectSurvival(hosts, "SIGSTOP", since, heal);
    });

    it(`go on when the sequencing one loses the database in the middle of a batch: a proxy swallows everything (${round})`, async () => {
      const since = await hosts.strikeInBatch(
        () => wire.freeze(),
        () => wire.thaw(),
      );
      await expectSurvival(hosts, "cut off by a proxy", since, () => wire.thaw());
    });
  }

  it("have lost nothing, forked nothing, and `check` finds both whole", () => expectOneHistory(hosts));
});

const impossible = whyNoCutOff();

describe.skipIf(impossible !== undefined)(
  `two hosts, one in a network namespace of its own (${impossible ?? "with ip netns"})`,
  () => {
    let hosts: Hosts;
    let place: CutOff;

    beforeAll(async () => {
      place = await makeCutOff();
      const [database, blobs] = [
        await place.forward(postgres.port),
        await place.forward(Number(new URL(s3.location.endpoint).port)),
      ];
      hosts = new Hosts(
        `${DATABASE}_netns`,
        {
          database: postgres.url(`${DATABASE}_netns`).replace(`127.0.0.1:${postgres.port}/`, `${database}/`),
          s3: `http://${blobs}`,
          listen: `${place.address}:8400`,
          within: place.within,
        },
        `127.0.0.1:${await freePort()}`,
      );
      await hosts.start();
    });

    afterAll(async () => {
      await hosts.stop();
      await place.remove();
    });

    it("go on when its cable is pulled in the middle of a batch, and plugged in again", async () => {
      const since = await hosts.strikeInBatch(
        () => place.cut(),
        () => place.mend(),
      );
      await expectSurvival(hosts, "cut off by its network", since, () => place.mend());
    });

    it("have lost nothing, forked nothing, and `check` finds both whole", () => expectOneHistory(hosts));
  },
);
