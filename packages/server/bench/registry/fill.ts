import { createHash, randomBytes } from "node:crypto";
import type { Registry } from "./servers.ts";

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const MIB = 1024 * 1024;

/** Few things in it. */
export const SMALL = "default/small";
/** As many manifests as the target names, and what `SMALL` has. */
export const FULL = "default/full";
/** As many tags as the target names, all of one manifest. */
export const TAGGED = "default/tagged";
/** One subject, and what refers to it. */
export const SUBJECT = "default/subject";

export const SCOPES: readonly string[] = [SMALL, FULL, TAGGED, SUBJECT].map((name) => `repository:${name}:pull,push`);

const TAGS_AT_ONCE = 31;

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Blobs that both registries hold. */
export interface Blobs {
  readonly small: readonly Buffer[];
  readonly large: Buffer;
}

export function makeBlobs(): Blobs {
  return { small: Array.from({ length: 16 }, () => randomBytes(MIB)), large: randomBytes(64 * MIB) };
}

/** What a bench asks for, by path. */
export interface Filled {
  readonly small: readonly string[];
  readonly large: string;
}

/** Writes to a registry as any client would, some requests at once. */
export class Filler {
  readonly #registry: Registry;
  #authorization: string | undefined;
  #asked = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async #headers(): Promise<Record<string, string>> {
    // A registry token holds for five minutes.
    if (performance.now() - this.#asked > 120_000 || this.#asked === 0) {
      this.#authorization = await this.#registry.authorization(SCOPES);
      this.#asked = performance.now();
    }
    return this.#authorization === undefined ? {} : { authorization: this.#authorization };
  }

  async #send(method: string, path: string, body?: Uint8Array<ArrayBuffer>, type?: string): Promise<Response> {
    const url = new URL(path, `http://127.0.0.1:${this.#registry.port}`);
    const response = await fetch(url, {
      method,
      headers: { ...(await this.#headers()), ...(type === undefined ? {} : { "content-type": type }) },
      ...(body === undefined ? {} : { body }),
    });
    if (!response.ok) {
      throw new Error(`${this.#registry.name}: ${method} ${path}: ${response.status} ${await response.text()}`);
    }
    return response;
  }

  async blob(repository: string, bytes: Buffer): Promise<string> {
    const digest = digestOf(bytes);
    const opened = await this.#send("POST", `/v2/${repository}/blobs/uploads/`);
    const location = new URL(opened.headers.get("location") ?? "", opened.url);
    location.searchParams.set("digest", digest);
    await this.#send(
      "PUT",
      `${location.pathname}${location.search}`,
      new Uint8Array(bytes),
      "application/octet-stream",
    );
    return digest;
  }

  async manifest(repository: string, reference: string, content: object): Promise<string> {
    const bytes = new Uint8Array(Buffer.from(JSON.stringify(content)));
    const digest = digestOf(bytes);
    const at = reference === "" ? digest : reference;
    await this.#send("PUT", `/v2/${repository}/manifests/${at}`, bytes, MANIFEST_TYPE);
    return digest;
  }

  /** An image of one small layer, under the tag `latest`, and the blobs; in each of the repositories. */
  async fill({ small, large }: Blobs): Promise<Filled> {
    for (const repository of [SMALL, FULL, TAGGED, SUBJECT]) {
      const image = await this.image(repository);
      await this.manifest(repository, "latest", image);
      if (repository === SMALL || repository === FULL) for (const bytes of small) await this.blob(repository, bytes);
    }
    const digest = await this.blob(SMALL, large);
    return { small: small.map((bytes) => digestOf(bytes)), large: digest };
  }

  /** An image's manifest, whose blobs the repository then has. */
  async image(repository: string): Promise<{ readonly annotations?: Record<string, string> }> {
    const layer = Buffer.from("layer");
    const config = Buffer.from("{}");
    return {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: await this.blob(repository, config),
        size: config.length,
      },
      layers: [
        {
          mediaType: "application/vnd.oci.image.layer.v1.tar",
          digest: await this.blob(repository, layer),
          size: layer.length,
        },
      ],
    } as object;
  }

  /** Runs `one` for each of 0…count−1, some at once. */
  static async many(count: number, one: (index: number) => Promise<unknown>): Promise<void> {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) await one(next++);
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  }

  /** The same manifest under `count` tags. */
  async tags(count: number): Promise<void> {
    const image = await this.image(TAGGED);
    await Filler.many(count - 1, (index) => this.manifest(TAGGED, `tag-${String(index).padStart(6, "0")}`, image));
  }

  /** `count` tags in all, as many at once as one push may set (OCI distribution, end-7b). */
  async moreTags(count: number): Promise<void> {
    const bytes = new Uint8Array(Buffer.from(JSON.stringify(await this.image(TAGGED))));
    const at = `/v2/${TAGGED}/manifests/${digestOf(bytes)}`;
    await Filler.many(Math.ceil(count / TAGS_AT_ONCE), (index) => {
      const tags = Array.from({ length: TAGS_AT_ONCE }, (_, each) => `tag=many-${index * TAGS_AT_ONCE + each}`);
      return this.#send("PUT", `${at}?${tags.join("&")}`, bytes, MANIFEST_TYPE);
    });
  }

  /** `count` manifests, each with a tag of its own. */
  async manifests(count: number): Promise<void> {
    const image = await this.image(FULL);
    await Filler.many(count, (index) =>
      this.manifest(FULL, `m-${index}`, { ...image, annotations: { "org.example.number": String(index) } }),
    );
  }

  /** Manifests `from`…`to`−1 about one subject. @returns the subject. */
  async referrers(from: number, to: number): Promise<string> {
    const image = await this.image(SUBJECT);
    const subject = { ...image, annotations: { "org.example.subject": "yes" } };
    const bytes = Buffer.from(JSON.stringify(subject));
    await this.manifest(SUBJECT, "subject", subject);
    const about = { mediaType: MANIFEST_TYPE, digest: digestOf(bytes), size: bytes.length };
    await Filler.many(to - from, (index) =>
      this.manifest(SUBJECT, "", {
        ...image,
        artifactType: "application/vnd.example.report",
        subject: about,
        annotations: { "org.example.number": String(from + index) },
      }),
    );
    return about.digest;
  }
}
