/** Mirrors between real servers, and a registry in this process that lies, breaks off and stalls as it is told. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Config } from "../src/config.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, sha256 } from "./pushing.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const API = "/api/assay/v1";

/** What came of a request to `/v2/`. */
export interface Pulled {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** The message of an OCI error. */
  readonly problem: string;
  readonly code: string;
}

/** A request to a server's `/v2/` as its admin, or under `token`. A connection that breaks has status 0. */
export async function v2(
  server: { readonly url: string },
  method: string,
  path: string,
  options: { body?: Uint8Array | string; type?: string; token?: string; headers?: Record<string, string> } = {},
): Promise<Pulled> {
  const { body, type, token } = options;
  const authorization =
    token === undefined ? ADMIN_BASIC : `Basic ${Buffer.from(`someone:${token}`).toString("base64")}`;
  const answer = await fetch(`${server.url}/v2/${path}`, {
    method,
    headers: { authorization, ...(type === undefined ? {} : { "content-type": type }), ...options.headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : new Uint8Array(body) }),
  });
  const bytes = Buffer.from(await answer.arrayBuffer());
  let error: { code?: string; message?: string } = {};
  if (answer.status >= 400 && bytes.length > 0) {
    error = (JSON.parse(bytes.toString()) as { errors: { code: string; message: string }[] }).errors[0] ?? {};
  }
  const { code = "", message = "" } = error;
  return { status: answer.status, headers: answer.headers, bytes, problem: message, code };
}

export interface Manifest {
  readonly bytes: Buffer;
  readonly digest: string;
  readonly type: string;
}

/** An image manifest over some blobs. */
export function imageOf(config: Uint8Array, layers: readonly Uint8Array[], more: object = {}): Manifest {
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
      layers: layers.map((layer) => ({
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        digest: sha256(layer),
        size: layer.length,
      })),
      ...more,
    }),
  );
  return { bytes, digest: sha256(bytes), type: OCI_MANIFEST };
}

/** A registry in this process. It has what is put into it, and answers with whatever `instead` says first. */
export interface FakeRegistry {
  readonly url: string;
  readonly host: string;
  /** By tag and by digest. */
  readonly manifests: Map<string, Manifest>;
  readonly blobs: Map<string, Buffer>;
  /** `METHOD path` of every request, with its Authorization. */
  readonly asked: { readonly question: string; readonly authorization: string | undefined }[];
  /** Answers a request instead of the registry; returns false to leave it to it. */
  instead: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Puts an image with a tag. */
  image(tag: string, layer?: string): { manifest: Manifest; layer: Buffer };
  close(): Promise<void>;
}

export async function fakeRegistry(): Promise<FakeRegistry> {
  const manifests = new Map<string, Manifest>();
  const blobs = new Map<string, Buffer>();
  const asked: FakeRegistry["asked"] = [];
  const listen: RequestListener = (request, response) => {
    const path = decodeURIComponent((request.url ?? "").split("?")[0] ?? "");
    asked.push({ question: `${request.method} ${path}`, authorization: request.headers.authorization });
    if (registry.instead(request, response)) return;
    const [, kind, reference = ""] = /\/(manifests|blobs|referrers)\/([^/]+)$/.exec(path) ?? [];
    const manifest = kind === "manifests" ? manifests.get(reference) : undefined;
    const bytes = kind === "blobs" ? blobs.get(reference) : manifest?.bytes;
    if (bytes === undefined) {
      response.writeHead(404, { "content-type": "application/json" }).end('{"errors":[]}');
      return;
    }
    response.writeHead(200, {
      "content-type": manifest?.type ?? "application/octet-stream",
      "content-length": bytes.length,
      "docker-content-digest": sha256(bytes),
    });
    response.end(request.method === "HEAD" ? undefined : bytes);
  };
  const server = createServer(listen);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const registry: FakeRegistry = {
    url: `http://${host}`,
    host,
    manifests,
    blobs,
    asked,
    instead: () => false,
    image(tag, text = tag) {
      const layer = Buffer.from(`layer ${text}`);
      const config = Buffer.from("{}");
      for (const blob of [layer, config]) blobs.set(sha256(blob), blob);
      const manifest = imageOf(config, [layer]);
      manifests.set(manifest.digest, manifest);
      manifests.set(tag, manifest);
      return { manifest, layer };
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return registry;
}

/** A server that may ask some private places. */
export function startMirror(places: readonly string[], options: Partial<Config> = {}): Promise<Instance> {
  return startInstance({ egressPrivate: [...places], ...options });
}

/** Lets a repository mirror another; returns the answer's status and body. */
export async function setMirror(
  server: Instance,
  repository: string,
  url: string,
  more: object = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const org = repository.split("/")[0] ?? "";
  const { status, body } = await server.api("PUT", `${API}/orgs/${org}/mirror`, { repository, url, ...more });
  return { status, body: body as Record<string, unknown> };
}

export function hostOf(server: { readonly url: string }): string {
  return new URL(server.url).host;
}

export { ADMIN_TOKEN };

/** What stands in the record of the default organisation, of types that begin so. */
export async function recorded(
  server: Instance,
  prefix: string,
): Promise<{ type: string; actor: string; body: Record<string, unknown> }[]> {
  const { body } = await server.api("GET", `${API}/orgs/default/record?limit=1000`);
  const { events } = body as { events: { event: { type: string; actor: string; body: Record<string, unknown> } }[] };
  return events.map(({ event }) => event).filter(({ type }) => type.startsWith(prefix));
}
