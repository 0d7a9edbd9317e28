import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./free-port.ts";

const MAIN = fileURLToPath(new URL("../../server/src/main.ts", import.meta.url));

export type TestServer = {
  readonly url: string;
  /** "127.0.0.1:PORT", as image references name it. */
  readonly host: string;
  readonly token: string;
  readonly dataDirectory: string;
  stop(): Promise<void>;
};

/** Starts the service as users do, a process of its own on a free port of this machine, with a data directory of its own. `settings`: more of its variables. */
export async function startTestServer(settings: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  const dataDirectory = mkdtempSync(join(tmpdir(), "assay-cli-server-"));
  const token = "a-token-for-tests-only-0123456789";
  const port = await freePort();
  const child: ChildProcess = spawn(process.execPath, [MAIN, "--listen", `127.0.0.1:${port}`], {
    env: {
      PATH: process.env["PATH"],
      ASSAY_DATA: dataDirectory,
      ASSAY_ADMIN_TOKEN: token,
      ASSAY_LOG_LEVEL: "warn",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  await new Promise<void>((resolve, reject) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("is ready at")) resolve();
    };
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    void ended.then(() => reject(new Error(`the server ended:\n${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    token,
    dataDirectory,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
      rmSync(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** What a pretended server answers to a request. */
export type Answer = { readonly status?: number; readonly type?: string; readonly body: string };

/** A tiny HTTP server that answers what a test wants, for servers that are wrong or worse. `answer` gets path and query. */
export async function startPretender(
  answer: (url: string, method: string) => Answer | Promise<Answer>,
): Promise<{ url: string; stop(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    request.resume();
    void Promise.resolve(answer(request.url ?? "/", request.method ?? "GET")).then(({ status = 200, type, body }) => {
      response.writeHead(status, { "content-type": type ?? "application/json" }).end(body);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has an address with a port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
