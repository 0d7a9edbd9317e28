/** A registry as there were before referrers: it takes and gives manifests and blobs, and knows no more. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256 } from "./pushing.ts";

export interface PlainRegistry {
  readonly url: string;
  readonly host: string;
  /** By `repository reference`. */
  readonly manifests: Map<string, Buffer>;
  /** By `repository digest`. */
  readonly blobs: Map<string, Buffer>;
  /** `METHOD url` of every request. */
  readonly asked: string[];
  /** Where uploads are sent to instead of here. */
  location: string | undefined;
  /** Awaited before a request is answered: `METHOD url`. It may answer with a status of its own. */
  before: (question: string) => Promise<{ status: number; headers: Record<string, string> } | undefined>;
  close(): Promise<void>;
}

export async function plainRegistry(): Promise<PlainRegistry> {
  const manifests = new Map<string, Buffer>();
  const blobs = new Map<string, Buffer>();
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    const answerTo = async (): Promise<void> => {
      asked.push(`${request.method} ${request.url}`);
      const other = await registry.before(`${request.method} ${request.url}`);
      if (other !== undefined) {
        response.writeHead(other.status, other.headers).end();
        return;
      }
      const bytes = Buffer.concat(chunks);
      const url = new URL(request.url ?? "/", "http://x");
      const [, repository = "", kind = "", rest = ""] =
        /^\/v2\/(.+?)\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? [];
      const there = (kind === "manifests" ? manifests : blobs).get(`${repository} ${rest}`);
      const answer = (status: number, headers: Record<string, string> = {}, body?: Buffer): void => {
        response.writeHead(status, headers).end(body);
      };
      switch (request.method) {
        case "POST": {
          const [mount, from] = ["mount", "from"].map((name) => url.searchParams.get(name) ?? "");
          const mounted = blobs.get(`${from} ${mount}`);
          if (mounted !== undefined) {
            blobs.set(`${repository} ${mount}`, mounted);
            answer(201);
            return;
          }
          answer(202, { location: registry.location ?? `/v2/${repository}/blobs/uploads/1` });
          return;
        }
        case "PUT": {
          const digest = sha256(bytes);
          if (kind === "blobs") {
            if (url.searchParams.get("digest") !== digest) answer(400);
            else blobs.set(`${repository} ${digest}`, bytes);
          } else {
            for (const name of [rest, digest]) manifests.set(`${repository} ${name}`, bytes);
          }
          if (!response.writableEnded) answer(201, { "docker-content-digest": digest });
          return;
        }
        default: {
          if (there === undefined) {
            answer(404, { "content-type": "text/plain" }, Buffer.from("404 page not found"));
            return;
          }
          const { mediaType = "application/octet-stream" } =
            kind === "manifests" ? (JSON.parse(there.toString()) as { mediaType?: string }) : {};
          const headers = { "content-type": mediaType, "docker-content-digest": sha256(there) };
          answer(200, headers, request.method === "HEAD" ? undefined : there);
        }
      }
    };
    request.on("end", () => void answerTo());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: PlainRegistry = {
    url: `http://${host}`,
    host,
    manifests,
    blobs,
    asked,
    location: undefined,
    before: () => Promise.resolve(undefined),
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return registry;
}
