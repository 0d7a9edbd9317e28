/** Where a client of the matrix works: a repository of its own on a running server, a home, an image; and what the server says is there. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Home, Server } from "../harness.ts";
import { type Image, makeImage } from "../image.ts";

/** What the matrix asks of each client, in the order in which it is tried. */
export const VERBS = ["log in", "push", "pull", "copy", "list", "attach", "discover", "delete"] as const;
export type Verb = (typeof VERBS)[number];

/** A verb as a client does it, which checks what came of it; or why there is no such verb. */
export type Cell = ((place: Place) => Promise<void>) | { readonly none: string };

/** One of the matrix's rows. */
export interface MatrixClient {
  readonly name: string;
  readonly cells: Readonly<Record<Verb, Cell>>;
  /** Logs in with some password: whether the client found it good. Some only keep it. */
  login(place: Place, password: string): Promise<boolean>;
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** @param client's name, which is its repository's in the default organisation. */
export class Place {
  readonly server: Server;
  readonly home: Home;
  readonly image: Image;
  /** `default/<client>` */
  readonly path: string;
  /** The same with the server's host, as references have it. */
  readonly repository: string;

  constructor(client: string, server: Server, home: Home) {
    this.server = server;
    this.home = home;
    this.image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    this.path = `default/${client}`;
    this.repository = `${server.host}/${this.path}`;
  }

  #fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const authorization = `Basic ${Buffer.from(`admin:${this.server.adminToken}`).toString("base64")}`;
    return fetch(`${this.server.url}/v2/${path}`, {
      ...init,
      headers: { authorization, accept: "*/*", ...(init.headers as Record<string, string> | undefined) },
    });
  }

  /** The digest a tag or digest stands for; undefined when nothing is there. */
  async digest(reference: string, path = this.path): Promise<string | undefined> {
    const response = await this.#fetch(`${path}/manifests/${reference}`, { method: "HEAD" });
    return response.status === 404 ? undefined : (response.headers.get("docker-content-digest") ?? undefined);
  }

  async tags(path = this.path): Promise<string[]> {
    return ((await (await this.#fetch(`${path}/tags/list`)).json()) as { tags: string[] }).tags;
  }

  /** The types of what refers to a digest. */
  async referrers(digest: string, path = this.path): Promise<string[]> {
    const list = (await (await this.#fetch(`${path}/referrers/${digest}`)).json()) as {
      manifests: { artifactType: string }[];
    };
    return list.manifests.map(({ artifactType }) => artifactType);
  }

  /** Puts another manifest over the same layers under a tag, for what is to be deleted. @returns its digest. */
  async another(tag: string): Promise<string> {
    const bytes = this.blob(this.image.layout, this.image.digest).toString();
    const other = JSON.stringify({ ...(JSON.parse(bytes) as object), annotations: { "org.example.another": tag } });
    const response = await this.#fetch(`${this.path}/manifests/${tag}`, {
      method: "PUT",
      headers: { "content-type": MANIFEST },
      body: other,
    });
    if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
    return `sha256:${createHash("sha256").update(other).digest("hex")}`;
  }

  /** Bytes out of an image layout. */
  blob(layout: string, digest: string): Buffer {
    return readFileSync(join(layout, "blobs", "sha256", digest.slice("sha256:".length)));
  }

  /** The digest of the one manifest of a layout. */
  digestIn(layout: string): string | undefined {
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: { digest: string }[] };
    return index.manifests[0]?.digest;
  }
}
