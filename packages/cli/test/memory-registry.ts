import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** How the registry misbehaves, or demands to be spoken to. Changed by tests as they go. */
export type Behaviour = {
  auth?: "bearer" | "basic";
  /** Cut the connection after this many bytes of an upload's body, once for each entry; what came is kept if `keepsPartial`. */
  cutUploads?: number[];
  keepsPartial?: boolean;
  /** Serve this in the place of any blob. */
  blob?: Buffer;
  /** Redirect reads of blobs to this origin. */
  redirectBlobs?: string;
  referrers?: boolean;
  /** The status of manifest PUTs. */
  refuseManifests?: number;
  realm?: string;
};

export type MemoryRegistry = {
  readonly host: string;
  readonly behaviour: Behaviour;
  readonly manifests: Map<string, { type: string; bytes: Buffer }>;
  readonly blobs: Map<string, Buffer>;
  /** "METHOD path" of each request, with the Authorization header. */
  readonly requests: { line: string; authorization: string | undefined; range: string | undefined }[];
};

export const USER = "admin";
export const PASSWORD = "s3cret-token";

/** An OCI registry in memory on loopback; gone when the test is. */
export async function memoryRegistry(behaviour: Behaviour = {}): Promise<MemoryRegistry> {
  const server: Server = createServer();
  const uploads = new Map<string, Buffer>();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: MemoryRegistry = { host, behaviour, manifests: new Map(), blobs: new Map(), requests: [] };
  server.on("request", (request, response) => {
    void answer(registry, uploads, request, response).catch(() => response.destroy());
  });
  return registry;
}

async function answer(
  registry: MemoryRegistry,
  uploads: Map<string, Buffer>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { behaviour, host, manifests, blobs } = registry;
  const url = new URL(request.url ?? "/", `http://${host}`);
  const { authorization } = request.headers;
  registry.requests.push({
    line: `${request.method} ${url.pathname}`,
    authorization,
    range: request.headers["content-range"],
  });
  const send = (status: number, headers: Record<string, string> = {}, body: Buffer | string = ""): void => {
    response
      .writeHead(status, { "content-length": String(Buffer.byteLength(body)), ...headers })
      .end(request.method === "HEAD" ? "" : body);
  };
  const basic = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString("base64")}`;
  if (url.pathname === "/token") {
    const scope = url.searchParams.get("scope");
    return authorization === basic
      ? send(200, {}, JSON.stringify({ token: `token-for-${scope?.split(":").at(-1)}` }))
      : send(401);
  }
  const isAllowed =
    behaviour.auth === undefined ||
    (behaviour.auth === "basic" ? authorization === basic : authorization?.startsWith("Bearer token-for-pull"));
  if (!isAllowed) {
    const realm = behaviour.realm ?? `http://${host}/token`;
    const challenge = behaviour.auth === "basic" ? 'Basic realm="x"' : `Bearer realm="${realm}",service="reg,istry"`;
    return send(401, { "www-authenticate": challenge });
  }
  if (url.pathname === "/v2/") return send(200);
  const [, repository = "", kind = "", rest = ""] =
    /^\/v2\/(.+?)\/(manifests|blobs|referrers)\/(.*)$/.exec(url.pathname) ?? [];
  const key = `${repository}/${rest}`;

  if (kind === "manifests" && request.method === "PUT") {
    const bytes = await bodyOf(request);
    if (behaviour.refuseManifests !== undefined) {
      return send(
        behaviour.refuseManifests,
        {},
        JSON.stringify({ errors: [{ code: "DENIED", message: "the tag 1.0.0 does not move" }] }),
      );
    }
    const digest = sha256(bytes);
    const entry = { type: request.headers["content-type"] ?? "", bytes };
    for (const name of [rest, digest]) manifests.set(`${repository}/${name}`, entry);
    const { subject } = JSON.parse(bytes.toString()) as { subject?: { digest: string } };
    return send(201, {
      "docker-content-digest": digest,
      ...(behaviour.referrers && subject ? { "oci-subject": subject.digest } : {}),
    });
  }
  if (kind === "manifests") {
    const found = manifests.get(key);
    if (found === undefined)
      return send(404, {}, JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "unknown" }] }));
    return send(200, { "content-type": found.type, "docker-content-digest": sha256(found.bytes) }, found.bytes);
  }
  if (kind === "referrers" && behaviour.referrers) {
    const found = [...manifests.entries()].filter(
      ([name, { bytes }]) =>
        name.includes("@") === false && name.includes("sha256:") && bytes.includes(`"subject"`) && bytes.includes(rest),
    );
    const list = found.map(([, { type, bytes }]) => ({ mediaType: type, digest: sha256(bytes), size: bytes.length }));
    return send(200, {}, JSON.stringify({ schemaVersion: 2, manifests: list }));
  }
  if (kind === "blobs" && rest === "uploads/" && request.method === "POST") {
    const id = `u${uploads.size}`;
    uploads.set(id, Buffer.alloc(0));
    return send(202, { location: `/v2/${repository}/blobs/uploads/${id}?state=a%20b` });
  }
  if (kind === "blobs" && rest.startsWith("uploads/"))
    return upload(registry, uploads, rest.slice(8), repository, request, url, send);
  if (kind === "blobs") {
    if (behaviour.redirectBlobs !== undefined)
      return send(307, { location: `${behaviour.redirectBlobs}/elsewhere/${rest}` });
    const found = blobs.get(rest);
    return found === undefined ? send(404) : send(200, {}, behaviour.blob ?? found);
  }
  send(404);
}

async function upload(
  { behaviour, blobs }: MemoryRegistry,
  uploads: Map<string, Buffer>,
  id: string,
  repository: string,
  request: IncomingMessage,
  url: URL,
  send: (status: number, headers?: Record<string, string>, body?: string) => void,
): Promise<void> {
  const before = uploads.get(id);
  if (before === undefined || url.searchParams.get("state") !== "a b") return send(404);
  const location = `/v2/${repository}/blobs/uploads/${id}?state=a%20b`;
  if (request.method === "GET") return send(204, { location, range: `0-${Math.max(0, before.length - 1)}` });
  const start = /^(\d+)-/.exec(request.headers["content-range"] ?? "")?.[1];
  if (start !== undefined && Number(start) !== before.length) return send(416);
  const cut = behaviour.cutUploads?.shift();
  const body = await bodyOf(request, cut);
  const now = Buffer.concat([before, body]);
  if (cut !== undefined) {
    if (behaviour.keepsPartial) uploads.set(id, now);
    else uploads.delete(id);
    request.socket.destroy();
    return;
  }
  uploads.set(id, now);
  if (request.method === "PATCH") return send(202, { location, range: `0-${now.length - 1}` });
  const digest = url.searchParams.get("digest") ?? "";
  if (sha256(now) !== digest)
    return send(400, {}, JSON.stringify({ errors: [{ code: "DIGEST_INVALID", message: "wrong digest" }] }));
  blobs.set(digest, now);
  send(201);
}

async function bodyOf(request: IncomingMessage, limit = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk.subarray(0, limit - size));
    size += chunk.length;
    if (size >= limit) break;
  }
  return Buffer.concat(chunks);
}

function sha256(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
