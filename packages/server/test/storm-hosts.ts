/** Real servers on one record that are killed and started again, and requests that know whether a kill took their answer. */
import { cp } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import { freePort } from "./free-port.ts";
import { ADMIN_BASIC } from "./pushing.ts";
import { type ServerProcess, startProcess } from "./server-process.ts";
import { blobSettings } from "./stored-blobs.ts";

/** Servers that are in a hurry: see there. */
const HURRIED = { NODE_OPTIONS: `--import=${new URL("./hurried.ts", import.meta.url).href}` };

/** A connection that ends so late was given up by one side while the other, or both, were stopped: no server takes so long. */
const STOPPED_MS = 30_000;

/** There is no answer, or none that says what came of the request: it may have been done, or not. */
export class Unanswered extends Error {}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

export interface Call {
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** The client goes away after so many bytes of the body. */
  readonly leaveAfter?: number;
}

/** One server: a process, and after a kill another one on the same directory and port. */
class Host {
  readonly directory: string;
  readonly #port: number;
  readonly #settings: Readonly<Record<string, string>>;
  #process: ServerProcess | undefined;
  /** How often it was started. */
  life = 0;
  /** What it said that is worse than a warning, without what is different each time; and how often. */
  readonly said = new Map<string, number>();
  /** Why it ended although nobody killed it. */
  died: string | undefined;

  constructor(directory: string, port: number, settings: Readonly<Record<string, string>>) {
    this.directory = directory;
    this.#port = port;
    this.#settings = settings;
  }

  get up(): boolean {
    return this.#process !== undefined;
  }

  async start(): Promise<void> {
    const process = await startProcess(this.directory, this.#port, this.#settings);
    this.life += 1;
    this.#process = process;
    void process.ended.then((how) => {
      if (this.#process === process) this.died = `a server ended by itself (${how}):\n${process.output()}`;
    });
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<number | NodeJS.Signals | undefined> {
    const process = this.#process;
    if (process === undefined) return undefined;
    // Before the signal: whoever loses an answer from here on knows why.
    this.#process = undefined;
    process.signal(signal);
    const how = await process.ended;
    for (const line of process.output().split("\n")) this.#hear(line);
    return how;
  }

  #hear(line: string): void {
    // A kill may have cut off its last line.
    if (!/^\{"level":(?:50|60),.*\}$/.test(line)) return;
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string; stack?: string } };
    const text = `${msg ?? ""}: ${(err?.stack ?? "").replaceAll(/[0-9a-f]{8,}|\d+/g, "N").slice(0, 600)}`;
    this.said.set(text, (this.said.get(text) ?? 0) + 1);
  }

  /** @throws Unanswered when it was killed meanwhile, or the machine was stopped; else whatever happened. */
  async ask(method: string, path: string, call: Call): Promise<Answer> {
    const { life } = this;
    const began = performance.now();
    try {
      return await send(this.#port, method, path, call);
    } catch (cause) {
      const stopped = performance.now() - began > STOPPED_MS;
      if (!this.up || this.life !== life || call.leaveAfter !== undefined || stopped) {
        throw new Unanswered(`${method} ${path}`, { cause });
      }
      throw new Error(`${method} ${path}: a living server broke it off`, { cause });
    }
  }
}

/** One request on a connection of its own. */
function send(port: number, method: string, path: string, { body, headers, leaveAfter }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: "127.0.0.1",
        port,
        method,
        path,
        agent: false,
        headers: {
          authorization: ADMIN_BASIC,
          ...(body === undefined ? {} : { "content-length": String(body.length) }),
          ...headers,
        },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const flat: Record<string, string> = {};
          for (const [name, value] of Object.entries(incoming.headers)) flat[name] = String(value);
          resolve({ status: incoming.statusCode ?? 0, headers: flat, bytes: Buffer.concat(chunks) });
        });
      },
    );
    outgoing.on("error", reject);
    if (leaveAfter === undefined || body === undefined) outgoing.end(body);
    // What was sent is on its way; the rest never comes.
    else outgoing.write(body.subarray(0, leaveAfter), () => setTimeout(() => outgoing.destroy(), 20));
  });
}

/** The servers of one record. */
export class Hosts {
  readonly #hosts: readonly Host[];
  readonly #random: () => number;
  readonly #disposals: readonly (() => Promise<void>)[];
  kills = 0;
  /** Answers that say nothing was done, by what they say. */
  readonly busy = new Map<string, number>();
  /** Why a server that was killed did not start again. */
  #broken: unknown;

  private constructor(hosts: readonly Host[], random: () => number, disposals: readonly (() => Promise<void>)[]) {
    this.#hosts = hosts;
    this.#random = random;
    this.#disposals = disposals;
  }

  /** Starts `count` of them: the second and later ones have the first's keys, and directories of their own. */
  static async open(count: number, random: () => number): Promise<Hosts> {
    const hosts: Host[] = [];
    const disposals: (() => Promise<void>)[] = [];
    let settings: Readonly<Record<string, string>> = {};
    for (let at = 0; at < count; at += 1) {
      const { path, dispose } = await temporaryDirectory();
      disposals.push(dispose);
      const [first] = hosts;
      if (first === undefined) {
        const { databaseUrl } = await placeOf(path);
        const database = databaseUrl === undefined ? {} : { ASSAY_DATABASE_URL: databaseUrl };
        settings = { ...HURRIED, ...blobSettings(path), ...database };
      } else {
        await cp(join(first.directory, "keys"), join(path, "keys"), { recursive: true });
        await cp(join(first.directory, "master.key"), join(path, "master.key"));
      }
      const host = new Host(path, await freePort(), settings);
      await host.start();
      hosts.push(host);
    }
    return new Hosts(hosts, random, disposals);
  }

  /** Where each has its data; database and blobs belong to the first. */
  get directories(): readonly string[] {
    return this.#hosts.map(({ directory }) => directory);
  }

  /** What they said that is worse than a warning. */
  get said(): readonly string[] {
    return this.#hosts.flatMap(({ said }) => [...said].map(([text, times]) => `${times} × ${text}`));
  }

  /**
   * Sends a request to one of those that are up, and waits for one if none is.
   *
   * @throws Unanswered when nobody can say what came of it.
   */
  async ask(method: string, path: string, call: Call = {}): Promise<Answer> {
    const host = await this.#one();
    const answer = await host.ask(method, path, call);
    // Too busy; or the machine was stopped for so long that the server gave up waiting for the request.
    if (answer.status !== 503 && answer.status !== 408) return answer;
    const said = `${answer.status} ${answer.bytes.toString()}`;
    const text = said.replaceAll(/sha256:[0-9a-f]+|(?<=\D)\d+/g, "…").slice(0, 300);
    this.busy.set(text, (this.busy.get(text) ?? 0) + 1);
    throw new Unanswered(`${method} ${path}: ${text}`);
  }

  async #one(): Promise<Host> {
    for (;;) {
      for (const { died } of this.#hosts) if (died !== undefined) throw new Error(died);
      if (this.#broken !== undefined) throw new Error("a server did not start again", { cause: this.#broken });
      const up = this.#hosts.filter((host) => host.up);
      const host = up[Math.floor(this.#random() * up.length)];
      if (host !== undefined) return host;
      await sleep(10);
    }
  }

  /** Kills one of them, now and then all, and starts what it killed again, now and then after a while. */
  async killSome(): Promise<void> {
    const all = this.#random() < 0.15;
    const one = Math.floor(this.#random() * this.#hosts.length);
    await Promise.all(
      this.#hosts.map(async (host, at) => {
        if (!all && at !== one) return;
        await host.end("SIGKILL");
        this.kills += 1;
        await sleep(this.#random() < 0.7 ? 0 : this.#random() * 2_000);
        await host.start().catch((error: unknown) => {
          this.#broken = error;
          throw error;
        });
      }),
    );
  }

  /** Kills all of them, and starts them again: nothing is in anybody's memory. */
  async killAll(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.end("SIGKILL")));
    for (const host of this.#hosts) await host.start();
  }

  /** Stops them as an operator does. @returns how each ended: 0, or what went wrong. */
  async stop(): Promise<unknown[]> {
    return await Promise.all(this.#hosts.map((host) => host.end("SIGTERM")));
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.end("SIGKILL")));
    for (const dispose of this.#disposals.toReversed()) await dispose();
  }
}
