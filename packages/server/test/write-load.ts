/**
 * Writes through every door, and what each answer promised: for tests that end a server at a bad moment and ask afterwards. Each request
 * has a connection of its own, so that a trace of the server's system calls names it by the client's port.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { request } from "node:http";
import { formatPublicKeyPem, parseDigest, type RecordReceipt } from "@assay/evidence";
import { generateKeyPair } from "@assay/evidence/node";
import { attest } from "./evidence-room.ts";
import { ADMIN_TOKEN } from "./instance.ts";
import { ADMIN_BASIC, sha256 } from "./pushing.ts";

/** What is to be found after an answer, whatever happens to the server. */
export type Promised =
  /** The event of a receipt, at its place in the log. */
  | { readonly kind: "event"; readonly receipt: RecordReceipt }
  /** A blob of the repository. */
  | { readonly kind: "blob"; readonly repository: string; readonly digest: string }
  /** Bytes in the store, by their digest: evidence and manifests. */
  | { readonly kind: "bytes"; readonly digest: string }
  | { readonly kind: "tag"; readonly repository: string; readonly tag: string; readonly digest: string }
  | { readonly kind: "no-tag"; readonly repository: string; readonly tag: string };

/** One write that was asked for. */
export interface Write {
  readonly door: string;
  /** The client's port, and which request from it this was. */
  readonly client: number;
  readonly turn: number;
  /** The answer's status; undefined when there was none. */
  status: number | undefined;
  /** What holds once it was answered with success. */
  promises: readonly Promised[];
  /** A tag that may be gone as soon as this was asked for. */
  readonly removes: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Record<string, unknown>;
}

/** An answer that is no success, of a server that lives. */
export class RefusedWrite extends Error {
  readonly status: number;
  readonly answer: string;
  constructor(door: string, status: number, answer: string) {
    super(`${door}: ${status} ${answer}`);
    this.status = status;
    this.answer = answer;
  }
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const OCTETS = "application/octet-stream";
const API = "/api/assay/v1";

/** The writes of one test, in the order they were asked for. */
export class WriteLoad {
  readonly writes: Write[] = [];
  readonly #turns = new Map<number, number>();
  url: string;

  constructor(url: string) {
    this.url = url;
  }

  /**
   * Asks for one write.
   *
   * @throws RefusedWrite unless the answer is a success; another error when there is no answer.
   */
  async write(
    door: string,
    asked: {
      readonly method: string;
      readonly path: string;
      readonly body?: Uint8Array | object;
      readonly headers?: Readonly<Record<string, string>>;
      readonly removes?: string;
    },
    promises: (answer: Answer) => readonly Promised[],
  ): Promise<Answer> {
    const url = new URL(asked.path, this.url);
    const wire = url.pathname.startsWith("/v2/");
    const json = asked.body !== undefined && !(asked.body instanceof Uint8Array);
    const bytes = json ? Buffer.from(JSON.stringify(asked.body)) : asked.body;
    const { answer, write } = await new Promise<{ answer: Answer; write: Write }>((resolve, reject) => {
      let begun: Write | undefined;
      const outgoing = request(
        url,
        {
          method: asked.method,
          agent: false,
          headers: {
            authorization: wire ? ADMIN_BASIC : `Bearer ${ADMIN_TOKEN}`,
            ...(json ? { "content-type": "application/json" } : {}),
            ...(bytes instanceof Uint8Array ? { "content-length": String(bytes.length) } : {}),
            ...asked.headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            const status = incoming.statusCode ?? 0;
            if (begun === undefined) {
              reject(new Error("an answer without a connection"));
              return;
            }
            begun.status = status;
            if (status >= 300) {
              reject(new RefusedWrite(door, status, text));
              return;
            }
            const body = text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
            resolve({ answer: { status, headers: incoming.headers, body }, write: begun });
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.on("socket", (socket) => {
        socket.once("connect", () => {
          const client = socket.localPort ?? 0;
          const turn = this.#turns.get(client) ?? 0;
          this.#turns.set(client, turn + 1);
          begun = { door, client, turn, status: undefined, promises: [], removes: asked.removes };
          this.writes.push(begun);
        });
      });
      outgoing.end(bytes);
    });
    write.promises = promises(answer);
    return answer;
  }

  /** Everything promised by answers so far, save tags that were asked to go. */
  promised(): Promised[] {
    return promisedBy(
      this.writes.filter((write) => write.status !== undefined && write.status < 300),
      this.writes,
    );
  }

  #event = ({ body }: Answer): Promised[] => {
    const receipt = body["receipt"] as RecordReceipt | null | undefined;
    return receipt === null || receipt === undefined ? [] : [{ kind: "event", receipt }];
  };

  #post(door: string, path: string, body: object, method = "POST"): Promise<Answer> {
    return this.write(door, { method, path: `${API}${path}`, body }, this.#event);
  }

  /** A blob, in one request. */
  async blob(repository: string, bytes: Uint8Array): Promise<void> {
    const digest = sha256(bytes);
    await this.write(
      "blob, in one request",
      {
        method: "POST",
        path: `/v2/${repository}/blobs/uploads/?digest=${digest}`,
        body: bytes,
        headers: { "content-type": OCTETS },
      },
      () => [{ kind: "blob", repository, digest }],
    );
  }

  /** A blob as most clients bring it: a session is opened, and ended with all of its bytes. */
  async whole(repository: string, bytes: Uint8Array): Promise<void> {
    const digest = sha256(bytes);
    const location = await this.#open(repository);
    await this.write(
      "blob, in a session",
      { method: "PUT", path: `${location}?digest=${digest}`, body: bytes, headers: { "content-type": OCTETS } },
      () => [{ kind: "blob", repository, digest }],
    );
  }

  /** A whole image: blobs in one request, whole in a session, in chunks and by mount, a manifest under a tag. */
  async push(repository: string, tag: string, sizes: { layer: number; whole: number; chunk: number }): Promise<string> {
    const layer = randomBytes(sizes.layer);
    const whole = randomBytes(sizes.whole);
    const chunked = randomBytes(sizes.chunk);
    const config = Buffer.from("{}");
    await this.blob(repository, layer);
    await this.whole(repository, whole);
    await this.blob(`${repository}-base`, config);
    await this.write(
      "blob, mounted",
      {
        method: "POST",
        path: `/v2/${repository}/blobs/uploads/?mount=${sha256(config)}&from=${repository}-base`,
      },
      ({ status }) => (status === 201 ? [{ kind: "blob", repository, digest: sha256(config) }] : []),
    );
    await this.close(repository, await this.stage(repository, chunked), sha256(chunked));
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
        layers: [layer, whole, chunked].map((bytes) => ({
          mediaType: "application/vnd.oci.image.layer.v1.tar",
          digest: sha256(bytes),
          size: bytes.length,
        })),
      }),
    );
    const digest = sha256(manifest);
    await this.write(
      "manifest",
      {
        method: "PUT",
        path: `/v2/${repository}/manifests/${tag}`,
        body: manifest,
        headers: { "content-type": MANIFEST },
      },
      () => [
        { kind: "tag", repository, tag, digest },
        { kind: "bytes", digest },
      ],
    );
    return digest;
  }

  /** @returns the path of a session that was opened. */
  async #open(repository: string): Promise<string> {
    const opened = await this.write(
      "upload, opened",
      { method: "POST", path: `/v2/${repository}/blobs/uploads/` },
      () => [],
    );
    return new URL(String(opened.headers["location"])).pathname;
  }

  /** An upload of a blob in two chunks that is not closed yet. @returns where it is. */
  async stage(repository: string, bytes: Uint8Array): Promise<string> {
    let location = await this.#open(repository);
    const half = bytes.length >> 1;
    for (const [from, to] of [
      [0, half],
      [half, bytes.length],
    ] as const) {
      const answer = await this.write(
        "blob, a chunk of it",
        {
          method: "PATCH",
          path: location,
          body: bytes.subarray(from, to),
          headers: { "content-type": OCTETS, "content-range": `${from}-${to - 1}` },
        },
        () => [],
      );
      location = new URL(String(answer.headers["location"])).pathname;
    }
    return location;
  }

  /** Makes an upload the blob that it should be. */
  async close(repository: string, location: string, digest: string): Promise<void> {
    await this.write("blob, in chunks", { method: "PUT", path: `${location}?digest=${digest}` }, () => [
      { kind: "blob", repository, digest },
    ]);
  }

  async deleteTag(repository: string, tag: string): Promise<void> {
    await this.write(
      "tag, deleted",
      { method: "DELETE", path: `/v2/${repository}/manifests/${tag}`, removes: `${repository}:${tag}` },
      () => [{ kind: "no-tag", repository, tag }],
    );
  }

  /** Evidence, a report, a policy and a decision about an artifact. */
  async judge(org: string, digest: string): Promise<void> {
    const key = generateKeyPair("ecdsa-p256-sha256");
    const bundle = await attest(key, parseDigest(digest));
    await this.write(
      "evidence",
      { method: "POST", path: `${API}/orgs/${org}/attestations`, body: { bundle: Buffer.from(bundle).toString() } },
      (answer) => [...this.#event(answer), { kind: "bytes", digest: sha256(bundle) }],
    );
    await this.#post("report", `/orgs/${org}/reports`, {
      subject: digest,
      predicateType: "https://example.com/report",
      predicate: { found: randomUUID() },
    });
    const yaml = await this.policy(org);
    await this.#post("decision", "/decisions", { org, digest, policy: { yaml } });
  }

  /** A policy; with a comment of so many bytes. @returns its text. */
  async policy(org: string, comment = 0): Promise<string> {
    const name = `p${randomUUID().slice(0, 8)}`;
    const rest = comment === 0 ? "" : `# ${randomBytes(comment >> 1).toString("hex")}\n`;
    const yaml = `version: 1\nname: ${name}\nrules:\n  - id: signed\n    evidence:\n      predicateType: https://sigstore.dev/cosign/sign/v1\n      identities: [release]\n${rest}`;
    await this.#post("policy", `/orgs/${org}/policies/${name}`, { yaml }, "PUT");
    return yaml;
  }

  /** Trust that comes, changes and goes. */
  async trust(org: string): Promise<void> {
    const key = generateKeyPair("ecdsa-p256-sha256");
    const name = `k${randomUUID().slice(0, 8)}`;
    const added = await this.#post("trust, added", `/orgs/${org}/trust/entries`, {
      name,
      publicKeyPem: formatPublicKeyPem(key.publicKey),
      scope: { repositories: ["**"], predicateTypes: ["*"] },
    });
    const entry = `/orgs/${org}/trust/entries/${(added.body["entry"] as { id: string }).id}`;
    await this.#post("trust, changed", entry, { name: `${name}x` }, "PATCH");
    await this.write("trust, removed", { method: "DELETE", path: `${API}${entry}` }, this.#event);
  }

  async organisation(name: string): Promise<void> {
    await this.#post("organisation", "/orgs", { name });
  }

  /** An organisation, a person in it, and the person's API key, which is revoked again. */
  async people(): Promise<void> {
    const name = `n${randomUUID().slice(0, 8)}`;
    await this.organisation(name);
    await this.#post("person", "/people", { name });
    await this.#post("role", `/orgs/${name}/members/person/${name}`, { role: "admin" }, "PUT");
    const made = await this.#post("API key", `/people/${name}/keys`, { label: "laptop" });
    await this.write(
      "API key, revoked",
      { method: "DELETE", path: `${API}/people/${name}/keys/${String(made.body["id"])}` },
      this.#event,
    );
  }
}

/** What these answered writes promised, save tags that any of `asked` may have removed. */
export function promisedBy(answered: readonly Write[], asked: readonly Write[]): Promised[] {
  const removed = new Set(asked.map((write) => write.removes));
  return answered
    .flatMap((write) => write.promises)
    .filter((promise) => promise.kind !== "tag" || !removed.has(`${promise.repository}:${promise.tag}`));
}

/**
 * Asks a running server for everything promised.
 *
 * @returns what is not as it was promised; empty when all is.
 */
export async function lostOverHttp(url: string, promised: readonly Promised[]): Promise<string[]> {
  const lost: string[] = [];
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(new URL(path, url), {
      headers: { authorization: path.startsWith("/v2/") ? ADMIN_BASIC : `Bearer ${ADMIN_TOKEN}`, ...headers },
    });
  const ask = async (promise: Promised): Promise<string | undefined> => {
    switch (promise.kind) {
      case "event": {
        const { sequence, event, salt, commitment } = promise.receipt;
        const answer = await get(`${API}/record/${sequence}/receipt`);
        const receipt = (await answer.json()) as Partial<RecordReceipt>;
        const same = receipt.event === event && receipt.salt === salt && receipt.commitment === commitment;
        return same ? undefined : `event ${sequence}: ${answer.status}`;
      }
      case "blob": {
        const answer = await get(`/v2/${promise.repository}/blobs/${promise.digest}`);
        const bytes = new Uint8Array(await answer.arrayBuffer());
        return sha256(bytes) === promise.digest ? undefined : `blob ${promise.digest}: ${answer.status}`;
      }
      case "tag": {
        const answer = await get(`/v2/${promise.repository}/manifests/${promise.tag}`, { accept: MANIFEST });
        const bytes = new Uint8Array(await answer.arrayBuffer());
        return sha256(bytes) === promise.digest ? undefined : `${promise.repository}:${promise.tag}: ${answer.status}`;
      }
      case "no-tag": {
        const answer = await get(`/v2/${promise.repository}/manifests/${promise.tag}`, { accept: MANIFEST });
        await answer.body?.cancel();
        return answer.status === 404 ? undefined : `${promise.repository}:${promise.tag} is back: ${answer.status}`;
      }
      case "bytes":
        // Evidence and manifests; check holds the store against what names them.
        return undefined;
    }
  };
  const left = [...promised];
  const some = async (): Promise<void> => {
    for (let promise = left.pop(); promise !== undefined; promise = left.pop()) {
      const problem = await ask(promise);
      if (problem !== undefined) lost.push(problem);
    }
  };
  await Promise.all(Array.from({ length: 8 }, some));
  return lost;
}
