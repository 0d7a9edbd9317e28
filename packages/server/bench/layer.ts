/**
 * A layer of 5 GiB both ways against a real server process: what it adds to the idle server's resident memory (target: less than
 * 100 MB), and how fast it goes. `ASSAY_BENCH_LAYER_MIB` makes the layer smaller. Linux only: it reads /proc.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const MIB = 1024 * 1024;
const LAYER = Number(process.env["ASSAY_BENCH_LAYER_MIB"] ?? 5120) * MIB;
/** MB of resident memory a layer may add (10^6 bytes). */
const TARGET = 100;
const TOKEN = "bench-admin-token-0123456789";
const CHUNKS = 4;

/** Resident bytes of a process. */
function resident(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (line?.[1] === undefined) throw new Error(`no VmRSS of process ${pid}`);
  return Number(line[1]) * 1024;
}

/** User and system CPU seconds of a process. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The layer's bytes [start, end): each MiB differs from every other, so nothing can be stored or sent once. */
function* layer(start: number, end: number): Generator<Buffer> {
  const block = Buffer.alloc(MIB, 0xa5);
  for (let at = start; at < end; at += MIB) {
    // The reader is done with a block before it asks for the next only if it copies; sockets do not, so each gets its own.
    const copy = Buffer.from(block);
    copy.writeBigUInt64BE(BigInt(at), 0);
    yield copy;
  }
}

function digestOfLayer(): string {
  const hash = createHash("sha256");
  for (const block of layer(0, LAYER)) hash.update(block);
  return `sha256:${hash.digest("hex")}`;
}

async function send(
  url: string,
  method: string,
  body?: { start: number; end: number },
): Promise<{ status: number; response: IncomingMessage }> {
  const request = httpRequest(url, {
    method,
    agent: false,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      "content-length": body === undefined ? 0 : body.end - body.start,
      ...(body === undefined ? {} : { "content-range": `${body.start}-${body.end - 1}` }),
    },
  });
  const answered = once(request, "response") as Promise<[IncomingMessage]>;
  if (body === undefined) request.end();
  else await pipeline(layer(body.start, body.end), request);
  const [response] = await answered;
  return { status: response.statusCode ?? 0, response };
}

function locationOf(response: IncomingMessage): string {
  response.resume();
  if (response.headers.location === undefined) throw new Error("the server gave no location");
  return response.headers.location;
}

async function started(server: ChildProcess): Promise<string> {
  for await (const text of server.stdout ?? []) {
    const url = /is ready at (\S+)/.exec(String(text))?.[1];
    if (url !== undefined) return url;
  }
  throw new Error("the server ended before it was ready");
}

/** Runs `work` and tells the most memory the server had meanwhile, and what it cost. */
async function measured(name: string, pid: number, idle: number, work: () => Promise<void>): Promise<number> {
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, resident(pid));
  }, 25);
  const cpu = cpuSeconds(pid);
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  clearInterval(timer);
  peak = Math.max(peak, resident(pid));
  const added = (peak - idle) / 1e6;
  const mib = LAYER / MIB;
  console.log(
    `${name}: added ${added.toFixed(1)} MB (peak ${(peak / 1e6).toFixed(1)} MB), ${(mib / seconds).toFixed(0)} MiB/s, ` +
      `${(mib / (cpuSeconds(pid) - cpu)).toFixed(0)} MiB per CPU second of the server`,
  );
  return added;
}

/** Runs `work` against a server process of its own, so that what one direction left in memory does not count for the other. */
async function onFreshServer<T>(work: (url: string, pid: number, idle: number) => Promise<T>): Promise<T> {
  const server = spawn(process.execPath, [fileURLToPath(new URL("../src/main.ts", import.meta.url))], {
    env: {
      ...process.env,
      ASSAY_DATA: directory,
      ASSAY_LISTEN: "127.0.0.1:8499",
      ASSAY_ADMIN_TOKEN: TOKEN,
      ASSAY_LOG_LEVEL: "warn",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const url = await started(server);
    const { pid } = server;
    if (pid === undefined) throw new Error("the server has no process id");
    await sleep(2000);
    const idle = resident(pid);
    console.log(`idle: ${(idle / 1e6).toFixed(1)} MB`);
    return await work(url, pid, idle);
  } finally {
    server.kill("SIGTERM");
    if (server.exitCode === null) await once(server, "exit");
  }
}

const directory = mkdtempSync(join(tmpdir(), "assay-bench-"));
try {
  const digest = digestOfLayer();
  console.log(`layer: ${LAYER / MIB} MiB`);

  const push = await onFreshServer((url, pid, idle) =>
    measured(`push in ${CHUNKS} chunks`, pid, idle, async () => {
      const uploads = `${url}/v2/default/bench/blobs/uploads/`;
      let location = locationOf((await send(uploads, "POST")).response);
      const step = Math.ceil(LAYER / CHUNKS / MIB) * MIB;
      for (let start = 0; start < LAYER; start += step) {
        const { status, response } = await send(location, "PATCH", { start, end: Math.min(start + step, LAYER) });
        if (status !== 202) throw new Error(`a chunk was answered ${status}`);
        location = locationOf(response);
      }
      const { status, response } = await send(`${location}?digest=${digest}`, "PUT");
      response.resume();
      if (status !== 201) throw new Error(`the upload was answered ${status}`);
    }),
  );
  const pull = await onFreshServer((url, pid, idle) =>
    measured("pull", pid, idle, async () => {
      const { status, response } = await send(`${url}/v2/default/bench/blobs/${digest}`, "GET");
      if (status !== 200) throw new Error(`the pull was answered ${status}`);
      const hash = createHash("sha256");
      for await (const chunk of response as AsyncIterable<Buffer>) hash.update(chunk);
      if (`sha256:${hash.digest("hex")}` !== digest) throw new Error("other bytes came back");
    }),
  );
  const most = Math.max(push, pull);
  console.log(`most added: ${most.toFixed(1)} MB (target: < ${TARGET} MB)`);
  if (most >= TARGET) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
