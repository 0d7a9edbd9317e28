import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openWitnessed, parseTlogPolicy, parseVkey, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../packages/server/test/free-port.ts";
import { clientProgram } from "./clients.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";

async function until(condition: () => Promise<boolean> | boolean, what: string, ms = 30_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`it did not come about that ${what}`);
    await sleep(100);
  }
}

const text = async (url: string): Promise<string> => (await (await fetch(url)).text()).trimEnd();

function end(child: ChildProcess | undefined): void {
  if (child?.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
}

/** litewitness, of filippo.io/torchwood: its key in an ssh-agent, its logs in a database. */
class Litewitness {
  readonly #home: Home;
  readonly #database: string;
  #agent: ChildProcess | undefined;
  #witness: ChildProcess | undefined;
  #output = "";
  url = "";

  constructor(home: Home) {
    this.#home = home;
    this.#database = home.path("witness.db");
  }

  async start(): Promise<void> {
    const home = this.#home;
    const [key, socket] = [home.path("witness-key"), home.path("agent")];
    await home.must("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    const fingerprint = (await home.must("ssh-keygen", ["-l", "-f", key])).split(" ")[1] ?? "";
    this.#agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    await until(() => existsSync(socket), "the agent listens");
    await home.must("ssh-add", ["-q", key], { env: { SSH_AUTH_SOCK: socket } });
    const listen = `127.0.0.1:${await freePort()}`;
    const args = ["-name", "witness.example/lite", "-key", fingerprint, "-ssh-agent", socket, "-db", this.#database];
    this.#witness = spawn(clientProgram("litewitness"), [...args, "-listen", listen], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#witness.stderr?.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
    this.url = `http://${listen}`;
    await until(() => this.#output.includes("listening"), `litewitness listens:\n${this.#output}`);
  }

  get vkey(): string {
    const vkey = /vkey=(\S+)/.exec(this.#output)?.[1];
    if (vkey === undefined) throw new Error(this.#output);
    return vkey.replaceAll('"', "");
  }

  /** What its own `witnessctl add-log` and `add-key` write; that program cannot be built without a module that is not served. */
  add(origin: string, vkey: string): void {
    const database = new DatabaseSync(this.#database);
    const empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    database.prepare("insert into log (origin, tree_size, tree_hash) values (?, 0, ?)").run(origin, empty);
    database.prepare("insert into key (origin, key) values (?, ?)").run(origin, vkey);
    database.close();
  }

  size(origin: string): number {
    const database = new DatabaseSync(this.#database, { readOnly: true });
    const row = database.prepare("select tree_size from log where origin = ?").get(origin);
    database.close();
    return Number(row?.["tree_size"]);
  }

  stop(): void {
    end(this.#witness);
    end(this.#agent);
  }
}

describe("litewitness, as a witness of our log", () => {
  let home: Home;
  let witness: Litewitness;
  let server: Server;
  let policy: string;
  let vkey: string;

  const headers = (): Record<string, string> => ({
    authorization: `Bearer ${server.adminToken}`,
    "content-type": "application/json",
  });

  async function record(name: string): Promise<void> {
    const { published } = await status();
    const body = JSON.stringify({ name });
    const answer = await fetch(`${server.url}/api/assay/v1/orgs`, { method: "POST", headers: headers(), body });
    if (answer.status !== 201) throw new Error(await answer.text());
    await until(async () => (await status()).published > published, "it is published");
  }

  interface Status {
    published: number;
    witnessed: number | null;
    contradicted: string[];
    witnesses: { outcome: string; message: string; size: number | null }[];
  }

  async function status(): Promise<Status> {
    return (await (await fetch(`${server.url}/api/assay/v1/witnesses`, { headers: headers() })).json()) as Status;
  }

  const cosigned = (): Promise<void> =>
    until(async () => {
      const { published, witnessed } = await status();
      return witnessed === published;
    }, "everything is cosigned");

  beforeAll(async () => {
    home = makeHome();
    witness = new Litewitness(home);
    await witness.start();
    policy = home.path("policy");
    writeFileSync(policy, `witness lite ${witness.vkey} ${witness.url}\nquorum lite\n`);
    server = await startServer({ env: { ASSAY_WITNESS_POLICY: policy } });
    vkey = await text(`${server.url}/logs/record/vkey`);
  });

  afterAll(async () => {
    await server.stop();
    witness.stop();
    home.remove();
  });

  it("refuses at first: nobody has told it of this log", async () => {
    await until(async () => (await status()).witnesses[0]?.outcome === "refused", "it refuses");
    expect((await status()).witnesses[0]?.message).toContain("404");
    expect(await status()).toMatchObject({ witnessed: null });
  });

  it("cosigns the first checkpoint it is sent, and what follows, with proofs of ours that it verifies", async () => {
    const origin = parseVkey(vkey).name;
    witness.add(origin, vkey);
    await cosigned();
    const first = witness.size(origin);
    for (const name of ["one", "two", "three"]) {
      await record(name);
      await cosigned();
    }
    expect(witness.size(origin)).toBe((await status()).published);
    expect(witness.size(origin)).toBeGreaterThan(first);

    const note = `${await text(`${server.url}/logs/record/checkpoint`)}\n`;
    const opened = await openWitnessed(
      nodeCrypto,
      note,
      parseTlogPolicy(utf8Encode(`log ${vkey}\nwitness lite ${witness.vkey}\nquorum lite\n`)),
    );
    expect(opened.checkpoint.size).toBe(witness.size(origin));
    expect(opened.cosignatures.map(({ key }) => key.name)).toEqual(["witness.example/lite"]);
  });

  it("goes on after the server was started again", async () => {
    await server.stop({ keepData: true });
    server = await startServer({
      dataFolder: server.dataFolder,
      adminToken: server.adminToken,
      env: { ASSAY_WITNESS_POLICY: policy },
    });
    await record("again");
    await cosigned();
    expect(await status()).toMatchObject({ contradicted: [] });
  });

  it("keeps an older record from starting, by what it alone remembers", async () => {
    const origin = parseVkey(vkey).name;
    await server.stop({ keepData: true });
    const database = new DatabaseSync(home.path("witness.db"));
    database.prepare("update log set tree_size = tree_size + 1000 where origin = ?").run(origin);
    database.close();
    await expect(startServer({ dataFolder: server.dataFolder, env: { ASSAY_WITNESS_POLICY: policy } })).rejects.toThrow(
      /the witness lite has cosigned 1\d\d\d \[log-behind-checkpoint\]/,
    );
  });
});

describe("a Tessera log, with us as its witness", () => {
  const origin = "log.example/tessera";
  let home: Home;
  let server: Server;
  let program: string;
  let vkey: string;
  let policy: string;

  const run = (data: string, ...more: string[]) =>
    home.run(program, ["-origin", origin, "-policy", policy, "-data", home.path(data), ...more]);

  beforeAll(async () => {
    program = join(mkdtempSync(join(tmpdir(), "assay-witness-client-")), "witness-client");
    execFileSync("go", ["build", "-o", program, "."], {
      cwd: fileURLToPath(new URL("witness-client", import.meta.url)),
      env: { ...process.env, GOFLAGS: "-buildvcs=false", GOTOOLCHAIN: "local" },
    });
    home = makeHome();
    const log = await home.must(program, ["-origin", origin, "-show"]);
    writeFileSync(home.path("logs"), `# what we witness\n${log}\n`);
    server = await startServer({ env: { ASSAY_WITNESS_LOGS: home.path("logs") } });
    vkey = await text(`${server.url}/witness/vkey`);
    policy = home.path("policy");
    writeFileSync(policy, `log ${log}\nwitness assay ${vkey} ${server.url}/witness\nquorum assay\n`);
  }, 600_000);

  afterAll(async () => {
    await server.stop();
    home.remove();
  });

  it("publishes what we cosign, and goes on from there in its next run", async () => {
    for (const [add, size] of [
      [3, 3],
      [300, 303],
      [1, 304],
    ] as const) {
      const published = await run("log", "-add", String(add));
      expect(published.code, published.stderr).toBe(0);
      const parsed = parseTlogPolicy(readFileSync(policy));
      const opened = await openWitnessed(nodeCrypto, published.stdout, parsed);
      expect(opened.checkpoint).toMatchObject({ origin, size });
      expect(opened.cosignatures.map(({ key }) => key.name)).toEqual([parseVkey(vkey).name]);
    }
  });

  it("gets no cosignature for a fork, made with its own key in another directory", async () => {
    // Shorter than what was cosigned, and then longer: it has grown without witnesses.
    const shorter = await run("fork", "-name", "other", "-patience", "4s");
    expect(shorter.code).toBe(1);
    expect(shorter.stderr).toContain("replied with x.tlog.size 304, larger than log size 0");
    const alone = home.path("alone");
    writeFileSync(alone, "quorum none\n");
    expect((await run("fork", "-name", "other", "-add", "400", "-policy", alone)).code).toBe(0);
    const forked = await run("fork", "-name", "other", "-patience", "4s");
    expect(forked.code).toBe(1);
    expect(forked.stderr).toContain("consistency proof is bad: 422");
    // The true one goes on.
    expect((await run("log", "-add", "2")).code).toBe(0);
  });

  it("gets none for a log we were not told of", async () => {
    const stranger = await home.run(program, [
      "-origin",
      "log.example/stranger",
      "-policy",
      policy,
      "-data",
      home.path("stranger"),
      "-patience",
      "3s",
    ]);
    expect(stranger.code).toBe(1);
    expect(stranger.stderr).toContain("origin is unknown: 404");
  });
});
