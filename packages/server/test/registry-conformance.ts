/** What the conformance suite pushes, and how it asks for it. */
import { createHash } from "node:crypto";
import type { JsonObject } from "../src/record/command.ts";
import { type Answer, type Call, OCI_INDEX, OCI_MANIFEST, type RegistryRoom, sha256 } from "./registry-room.ts";

export type Algorithm = "sha256" | "sha512";

export const ALGORITHMS: readonly Algorithm[] = ["sha256", "sha512"];

export function digest(algorithm: Algorithm, bytes: Uint8Array | string): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** A descriptor of bytes. */
export function descriptor(algorithm: Algorithm, bytes: Uint8Array | string, mediaType: string): JsonObject {
  return { mediaType, digest: digest(algorithm, bytes), size: Buffer.byteLength(bytes) };
}

const LAYER = "application/vnd.oci.image.layer.v1.tar";
const CONFIG = "application/vnd.oci.image.config.v1+json";

/** An image manifest over a config and layers, everything in it named by one algorithm. */
export function image(algorithm: Algorithm, config: string, layers: readonly string[], more: JsonObject = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(algorithm, config, CONFIG),
    layers: layers.map((layer) => descriptor(algorithm, layer, LAYER)),
    ...more,
  });
}

/** An index over manifests. */
export function index(algorithm: Algorithm, manifests: readonly string[], more: JsonObject = {}): string {
  const entries = manifests.map((manifest) => descriptor(algorithm, manifest, OCI_MANIFEST));
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries, ...more });
}

/** A client of one repository, who says what the standard's text says. */
export class Client {
  readonly room: RegistryRoom;
  readonly repository: string;

  constructor(room: RegistryRoom, repository: string) {
    this.room = room;
    this.repository = repository;
  }

  at(rest: string): string {
    return `/v2/${this.repository}/${rest}`;
  }

  call(method: string, rest: string, call?: Call): Promise<Answer> {
    return this.room.call(method, this.at(rest), call);
  }

  /** Opens an upload session (end-4a, 4c). */
  async open(query = ""): Promise<string> {
    const answer = await this.call("POST", `blobs/uploads/${query}`, { headers: { "content-length": "0" } });
    if (answer.status !== 202) throw new Error(`POST: ${answer.status} ${answer.text}`);
    return String(answer.headers["location"]);
  }

  /** One chunk (end-5). */
  patch(location: string, bytes: Uint8Array | string, start: number): Promise<Answer> {
    const end = start + Buffer.byteLength(bytes) - 1;
    return this.room.call("PATCH", location, { body: bytes, headers: { "content-range": `${start}-${end}` } });
  }

  /** Closes a session (end-6). */
  close(location: string, name: string, bytes?: Uint8Array | string, start?: number): Promise<Answer> {
    const end = (start ?? 0) + Buffer.byteLength(bytes ?? "") - 1;
    return this.room.call("PUT", `${location}?digest=${name}`, {
      ...(bytes === undefined ? {} : { body: bytes }),
      ...(start === undefined ? {} : { headers: { "content-range": `${start}-${end}` } }),
    });
  }

  /** Pushes blobs, each in one request. */
  async blobs(algorithm: Algorithm, ...all: readonly string[]): Promise<void> {
    for (const bytes of all) {
      const answer = await this.call("POST", `blobs/uploads/?digest=${digest(algorithm, bytes)}`, { body: bytes });
      if (answer.status !== 201) throw new Error(`blob: ${answer.status} ${answer.text}`);
    }
  }

  /** Pushes a manifest by a tag or digest. */
  put(reference: string, body: string, type = OCI_MANIFEST): Promise<Answer> {
    return this.call("PUT", `manifests/${reference}`, { body, headers: { "content-type": type } });
  }

  /** Pushes an image of one layer by its digest; returns the manifest. */
  async image(algorithm: Algorithm, text: string, more: JsonObject = {}): Promise<string> {
    await this.blobs(algorithm, `config of ${text}`, `layer of ${text}`);
    const manifest = image(algorithm, `config of ${text}`, [`layer of ${text}`], more);
    const answer = await this.put(digest(algorithm, manifest), manifest);
    if (answer.status !== 201) throw new Error(`manifest: ${answer.status} ${answer.text}`);
    return manifest;
  }

  /** Digests in a referrers list, in order. */
  async referrers(name: string, query = ""): Promise<string[]> {
    const answer = await this.call("GET", `referrers/${name}${query}`);
    if (answer.status !== 200) throw new Error(`referrers: ${answer.status} ${answer.text}`);
    return (answer.json["manifests"] as { digest: string }[]).map((entry) => entry.digest);
  }
}

/** A digest that names nothing anywhere. */
export const NOWHERE: Readonly<Record<Algorithm, string>> = {
  sha256: sha256("nothing has these bytes"),
  sha512: digest("sha512", "nothing has these bytes"),
};
