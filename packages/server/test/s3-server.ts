/** An S3 server in this process (s3rver), and a proxy in front of any S3 server that fails as told. */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isMissing } from "../src/storage/durable.ts";
import type { S3Location } from "../src/storage/s3-location.ts";

interface Stored {
  readonly bucket: string;
  readonly key: string;
  content: Buffer | AsyncIterable<Buffer>;
}

interface S3rver {
  run(): Promise<AddressInfo>;
  close(): Promise<void>;
  readonly httpServer: { closeAllConnections(): void };
  readonly store: {
    putObject(object: Stored): Promise<{ size: number; md5: string }>;
    deleteObject(bucket: string, key: string): Promise<void>;
    listObjects(bucket: string, options: { readonly maxKeys?: number }): Promise<unknown>;
    getResourcePath(bucket: string, key: string, resource: string): string;
  };
}

const S3rverClass = createRequire(import.meta.url)("s3rver") as new (options: object) => S3rver;

export interface S3Server {
  readonly location: S3Location;
  stop(): Promise<void>;
}

/** Starts s3rver with an empty bucket. It ignores signatures of version 4, conditions and checksums. */
export async function startS3rver(): Promise<S3Server> {
  const directory = await mkdtemp(join(tmpdir(), "assay-s3-"));
  const server = new S3rverClass({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    vhostBuckets: false,
    directory,
    configureBuckets: [{ name: "assay" }, { name: "aside" }],
  });
  // It writes an object in place, keeps what came of one whose client died, and answers before the last bytes are in their file. A real
  // server's objects are there at once, whole: so each is written elsewhere, and moved when it is done.
  const put = server.store.putObject.bind(server.store);
  const pathOf = ({ bucket, key }: Stored, resource: string): string =>
    server.store.getResourcePath(bucket, key, resource);
  server.store.putObject = async (object) => {
    const content = Buffer.isBuffer(object.content) ? object.content : await collect(object.content);
    const aside: Stored = Object.assign(Object.create(Object.getPrototypeOf(object) as object) as Stored, object, {
      bucket: "aside",
      key: randomUUID(),
      content,
    });
    const result = await put(aside);
    const written = (): Promise<number> =>
      stat(pathOf(aside, "object")).then(
        (found) => found.size,
        // Not even opened yet.
        () => -1,
      );
    for (let waited = 0; waited < 5000 && (await written()) < result.size; waited += 5) await sleep(5);
    // Last what makes it an object.
    for (const resource of ["object.md5", "metadata.json", "object"]) {
      await move(pathOf(aside, resource), pathOf(object, resource));
    }
    return result;
  };
  // It removes the directories that a deletion leaves empty, beside other deletions and beside listings that walk through them, and answers
  // those with 500. Nothing needs the directories gone; and files go at once, not while a listing looks.
  server.store.deleteObject = (bucket, key) => {
    for (const resource of ["object", "object.md5", "metadata.json"]) {
      rmSync(server.store.getResourcePath(bucket, key, resource), { force: true });
    }
    return Promise.resolve();
  };
  // It makes the token of a next page with a cipher that OpenSSL 3 has no more, and answers any list of more than a page with 500. So its
  // lists are one page, however long; that pages are followed, the interop suite shows with another server.
  const list = server.store.listObjects.bind(server.store);
  server.store.listObjects = (bucket, options) => list(bucket, { ...options, maxKeys: Number.POSITIVE_INFINITY });
  const { port } = await server.run();
  return {
    location: {
      endpoint: `http://127.0.0.1:${port}`,
      region: "us-east-1",
      bucket: "assay",
      prefix: "some/prefix",
      pathStyle: true,
      credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER", sessionToken: undefined },
    },
    async stop() {
      server.httpServer.closeAllConnections();
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Moves a file, whose new folder a deletion may take away at the same moment. */
async function move(from: string, to: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    await mkdir(dirname(to), { recursive: true });
    try {
      await rename(from, to);
      return;
    } catch (error) {
      if (attempt === 20 || !isMissing(error)) throw error;
    }
  }
}

/** What happens to a request instead of what should. */
export type Fault =
  /** An error answer, without asking the server. */
  | { readonly kind: "answer"; readonly status: number; readonly code: string; readonly retryAfter?: number }
  /** The connection is cut, without asking the server. */
  | { readonly kind: "reset" }
  /** The server does it, and the answer is lost. */
  | { readonly kind: "lost-answer" }
  /** The answer's body breaks off after so many bytes. */
  | { readonly kind: "truncate"; readonly after: number }
  /** One byte of the answer's body is another. */
  | { readonly kind: "corrupt-answer" }
  /** One byte of the request's body is another. */
  | { readonly kind: "corrupt-request" }
  /** The answer begins late. */
  | { readonly kind: "slow"; readonly ms: number };

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

export interface FaultyProxy {
  readonly endpoint: string;
  /** Decides each request's fault; undefined: none. */
  fault: (request: SeenRequest, number: number) => Fault | undefined;
  readonly seen: SeenRequest[];
  stop(): Promise<void>;
}

/** Starts a proxy on loopback in front of `endpoint`. The Host header goes on as it came: signatures hold. */
export async function startFaultyProxy(endpoint: string): Promise<FaultyProxy> {
  const target = new URL(endpoint);
  const forward = (request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void => {
    const onward = httpRequest(
      { host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        if (fault?.kind === "lost-answer") {
          answer.resume();
          answer.on("end", () => request.socket.destroy());
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        let sent = 0;
        answer.on("data", (chunk: Buffer) => {
          if (fault?.kind === "corrupt-answer" && sent === 0) chunk[0] = (chunk[0] ?? 0) ^ 1;
          if (fault?.kind === "truncate" && sent + chunk.length > fault.after) {
            response.write(chunk.subarray(0, fault.after - sent), () => request.socket.destroy());
            answer.destroy();
            return;
          }
          sent += chunk.length;
          response.write(chunk);
        });
        answer.on("end", () => response.end());
        answer.on("error", () => response.destroy());
      },
    );
    onward.on("error", () => response.destroy());
    let received = 0;
    request.on("data", (chunk: Buffer) => {
      if (fault?.kind === "corrupt-request" && received === 0) chunk[0] = (chunk[0] ?? 0) ^ 1;
      received += chunk.length;
      onward.write(chunk);
    });
    request.on("end", () => onward.end());
    request.on("error", () => onward.destroy());
  };
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const entry = { method: request.method ?? "", url: request.url ?? "", headers: request.headers };
    seen.push(entry);
    const fault = proxy.fault(entry, seen.length);
    switch (fault?.kind) {
      case "answer":
        request.resume();
        request.on("end", () => {
          const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
          response.writeHead(fault.status, { "content-type": "application/xml", ...headers });
          const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>injected</Message></Error>`;
          response.end(request.method === "HEAD" ? undefined : body);
        });
        return;
      case "reset":
        request.socket.destroy();
        return;
      case "slow":
        setTimeout(() => forward(request, response, undefined), fault.ms);
        return;
      default:
        forward(request, response, fault);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FaultyProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => undefined,
    seen,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
