/** The driver: a process apart that asks one server over and over for one thing, on some connections, for some time. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { Connection, header } from "./connection.ts";

/** What is asked for. */
export type Work =
  /** GET of these paths in turn. */
  | { readonly kind: "get"; readonly paths: readonly string[] }
  /** A blob that the server has not seen: POST, then PUT with all of it, as most clients do. */
  | { readonly kind: "push"; readonly repository: string; readonly size: number };

export interface Task {
  readonly port: number;
  readonly authorization: string | undefined;
  readonly connections: number;
  readonly milliseconds: number;
  readonly work: Work;
}

export interface Done {
  readonly count: number;
  /** Of the answers' bodies. */
  readonly bytes: number;
  readonly seconds: number;
  /** The driver's own. */
  readonly cpuSeconds: number;
  /** The slowest, ms. */
  readonly slowest: number;
}

const TAIL = 36;

function requestHead(task: Task, method: string, path: string, length?: number): Buffer {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${task.port}`,
    ...(task.authorization === undefined ? [] : [`Authorization: ${task.authorization}`]),
    "Accept: application/vnd.oci.image.manifest.v1+json, */*",
    ...(length === undefined ? [] : [`Content-Length: ${length}`, "Content-Type: application/octet-stream"]),
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`);
}

/** One request after another; each gives the bytes of its answer. */
type Step = (connection: Connection) => Promise<number>;

function getting(task: Task, paths: readonly string[]): Step {
  const requests = paths.map((path) => requestHead(task, "GET", path));
  let next = 0;
  return async (connection) => {
    const request = requests[next++ % requests.length];
    if (request === undefined) throw new Error("nothing to ask for");
    const answer = await connection.send([request]);
    if (answer.status !== 200) throw new Error(`GET answered ${answer.status}: ${answer.head}`);
    return answer.length;
  };
}

function pushing(task: Task, repository: string, size: number): Step {
  // Blobs differ in their last bytes alone, so that their digests cost the driver nothing to speak of.
  const body = randomBytes(size - TAIL);
  const begun = createHash("sha256").update(body);
  const open = requestHead(task, "POST", `/v2/${repository}/blobs/uploads/`, 0);
  return async (connection) => {
    const opened = await connection.send([open]);
    const location = header(opened, "location");
    if (opened.status !== 202 || location === undefined) throw new Error(`POST answered ${opened.status}`);
    const tail = Buffer.from(randomUUID());
    const url = new URL(location, `http://127.0.0.1:${task.port}`);
    url.searchParams.set("digest", `sha256:${begun.copy().update(tail).digest("hex")}`);
    const closed = await connection.send([requestHead(task, "PUT", `${url.pathname}${url.search}`, size), body, tail]);
    if (closed.status !== 201) throw new Error(`PUT answered ${closed.status}: ${closed.head}`);
    return closed.length;
  };
}

async function run(task: Task): Promise<Done> {
  const { work } = task;
  const step = work.kind === "get" ? getting(task, work.paths) : pushing(task, work.repository, work.size);
  const connections = await Promise.all(Array.from({ length: task.connections }, () => Connection.open(task.port)));
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  const until = started + task.milliseconds;
  let [count, bytes, slowest] = [0, 0, 0];
  try {
    await Promise.all(
      connections.map(async (connection) => {
        for (let now = performance.now(); now < until; ) {
          const came = await step(connection);
          bytes += came;
          count += 1;
          const after = performance.now();
          slowest = Math.max(slowest, after - now);
          now = after;
        }
      }),
    );
  } finally {
    for (const connection of connections) connection.close();
  }
  const { user, system } = process.cpuUsage(cpu);
  return { count, bytes, seconds: (performance.now() - started) / 1000, cpuSeconds: (user + system) / 1e6, slowest };
}

process.on("message", (task: Task) => {
  run(task).then(
    (done) => process.send?.({ done }),
    (error: unknown) => process.send?.({ failed: error instanceof Error ? error.message : String(error) }),
  );
});
