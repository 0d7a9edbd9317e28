/** The registry and the access room over a real record, listening on loopback: what the registry's wire tests talk to. */
import { MIGRATIONS } from "../src/composition.ts";
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import Fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { generateApiKey, hashSecret } from "../src/access/api-key.ts";
import { Authenticator, countDenials } from "../src/access/authenticate.ts";
import { accessPart } from "../src/access/part.ts";
import type { Role } from "../src/access/roles.ts";
import { registerTokenRoutes } from "../src/access/token-routes.ts";
import type { Keeps } from "../src/collection/commands.ts";
import { collectionPart } from "../src/collection/part.ts";
import { keysPart } from "../src/record/service-keys.ts";
import { MasterKey } from "../src/keys/master.ts";
import type { RecordClient } from "../src/record/client.ts";
import { type Command, type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import { recordPart } from "../src/record/heads.ts";
import { openRecord } from "../src/record/open.ts";
import { RecordParts } from "../src/record/parts.ts";
import type { RecordTables } from "../src/record/schema.ts";
import type { RecordWriter } from "../src/record/writer.ts";
import { answerFrameworkError } from "../src/registry/errors.ts";
import { releaseUploadClaims } from "../src/registry/maintenance.ts";
import { type RegistryHooks, registryPart } from "../src/registry/part.ts";
import { type PullGate, type PushedManifest, registerRegistryRoutes } from "../src/registry/routes.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import type { BlobStore } from "../src/storage/blobs.ts";
import type { ReadDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openReader, openWriter } from "../src/storage/open.ts";
import { ADMIN, temporaryDirectory, stampFor } from "./core.ts";
import { placeOf } from "./database.ts";
import { openStore } from "./stored-blobs.ts";

export const ADMIN_TOKEN = "test-admin-token-0123456789";
export const PUBLIC_URL = "https://registry.test:8443";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  readonly text: string;
  /** The body, when it is JSON. */
  readonly json: JsonObject;
}

export interface Call {
  /** undefined: the admin; null: nobody; else an API key or token. */
  readonly as?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | Readable;
}

export interface RegistryRoom {
  readonly url: string;
  readonly port: number;
  readonly directory: string;
  readonly reader: ReadDatabase;
  readonly writer: RecordWriter;
  readonly blobs: BlobStore;
  /** Which of some digests the rooms need the bytes of. */
  readonly keeps: Keeps;
  readonly clock: { now: number | undefined };
  /** What the companions hook was told, and what it answers. */
  readonly pushed: PushedManifest[];
  companions: (push: PushedManifest) => Promise<Command[]>;
  call(method: string, path: string, call?: Call): Promise<Answer>;
  /** Makes a person with roles; returns an API key. */
  person(name: string, roles: Readonly<Record<string, Role>>): Promise<string>;
  /** Pushes a blob in one request; returns its digest. */
  pushBlob(repository: string, bytes: Uint8Array | string, as?: string): Promise<string>;
  /** Pushes an image of one layer; returns the manifest's bytes and digest. */
  pushImage(
    repository: string,
    reference: string,
    layer?: string,
    more?: JsonObject,
  ): Promise<{ bytes: string; digest: string; layer: string }>;
  /** The types of all events of the registry, in order. */
  events(): Promise<string[]>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A gate that lets everything through. */
export const OPEN_GATE: PullGate = {
  manifest: async () => undefined,
  blob: async () => undefined,
  stands: async () => false,
};

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** One HTTP request over a socket, exactly as given. */
export function send(url: string, method: string, call: Call & { token: string | null }): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { body } = call;
    // The path goes out as it is written: a URL object would resolve its dots.
    const { hostname, port } = new URL(url);
    const request = httpRequest({
      hostname,
      port,
      path: url.slice(url.indexOf("/", "http://".length)),
      method,
      agent: false,
      headers: {
        ...(call.token === null ? {} : { authorization: `Bearer ${call.token}` }),
        ...(body === undefined || body instanceof Readable
          ? {}
          : { "content-length": String(Buffer.byteLength(body)) }),
        ...call.headers,
      },
    });
    let answered = false;
    request.on("response", (response) => {
      answered = true;
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString("utf8");
        const headers: Record<string, string> = {};
        for (const [name, value] of Object.entries(response.headers)) headers[name] = String(value);
        const isJson = /json/.test(headers["content-type"] ?? "") && text !== "";
        let json: JsonObject = {};
        if (isJson) json = JSON.parse(text) as JsonObject;
        resolve({ status: response.statusCode ?? 0, headers, bytes, text, json });
        request.destroy();
      });
    });
    request.on("error", (error) => {
      // A refused body may be cut off after the answer came.
      if (!answered) reject(error);
    });
    if (body instanceof Readable) body.pipe(request);
    else request.end(body);
  });
}

/** The code of an OCI error body. */
export function ociCode(answer: Answer): unknown {
  const errors = answer.json["errors"];
  return Array.isArray(errors) && errors.length === 1 ? (errors[0] as JsonObject)["code"] : undefined;
}

/** An image manifest over blobs that were pushed. */
export function imageManifest(config: string, layers: readonly string[], more: JsonObject = {}): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: { mediaType: EMPTY_TYPE, digest: sha256(config), size: config.length },
    layers: layers.map((layer) => ({
      mediaType: "application/vnd.oci.image.layer.v1.tar",
      digest: sha256(layer),
      size: Buffer.byteLength(layer),
    })),
    ...more,
  });
}

interface Running {
  readonly app: FastifyInstance;
  readonly port: number;
  readonly reader: ReadDatabase;
  readonly writer: RecordWriter;
  readonly blobs: BlobStore;
  close(): Promise<void>;
}

/** How a room differs from the usual. */
export interface RoomSettings {
  readonly gate?: PullGate | "unfilled";
  readonly sparseManifests?: boolean;
  /** How long a blob waits for its manifest, ms. */
  readonly leaseMs?: number;
  /** What the door has in the place of the store, and of the record. */
  readonly store?: (blobs: BlobStore) => BlobStore;
  readonly record?: (record: RecordClient) => RecordClient;
}

/** Opens a room with the organisations `default` and `organisations`. */
export async function openRegistryRoom(
  organisations: readonly string[] = [],
  { store: wrapStore, record: wrapRecord, ...settings }: RoomSettings = {},
): Promise<RegistryRoom> {
  const { sparseManifests, gate = OPEN_GATE, ...more } = settings;
  const directory = await temporaryDirectory();
  const clock: { now: number | undefined } = { now: undefined };
  const hook: { companions: (push: PushedManifest) => Promise<Command[]> } = { companions: async () => [] };
  const pushed: PushedManifest[] = [];
  // No room here knows of evidence, or of what runs, and none decides: nothing holds a manifest, and nothing allows a promotion.
  const hooks: RegistryHooks = {
    holds: { hasEvidence: async () => false, runsIn: async () => [] },
    pushRule: async () => undefined,
    renameRule: async () => undefined,
    promotionGate: async () => ({ code: "promotion-denied", status: 403, message: "there is no gate here" }),
  };

  const parts: RecordParts = new RecordParts([
    recordPart,
    keysPart,
    accessPart,
    registryPart(hooks),
    collectionPart((reader, digests, at) => parts.keeps(reader, digests, at)),
  ]);

  const boot = async (): Promise<Running> => {
    const database = openWriter(await placeOf(directory.path));
    await migrate(database, MIGRATIONS);
    const { writer, keyring } = await openRecord({
      database,
      dataDirectory: directory.path,
      master: MasterKey.fromDirectory(directory.path, true),
      parts,
      founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: "default" } }],
      host: undefined,
      stamp: stampFor(database),
    });
    await releaseUploadClaims(writer);
    const reader = openReader(await placeOf(directory.path));
    const store = await openStore(directory.path);
    const { blobs } = store;
    const now = (): number => clock.now ?? Date.now();
    const authenticator = new Authenticator({
      reader,
      record: writer,
      keyring,
      publicUrl: PUBLIC_URL,
      adminToken: ADMIN_TOKEN,
    });
    const app = Fastify({
      bodyLimit: 1024 * 1024,
      frameworkErrors: (error, _request, reply) => {
        answerFrameworkError(error, reply as unknown as FastifyReply);
      },
    });
    app.setValidatorCompiler(validatorCompiler);
    app.setSerializerCompiler(serializerCompiler);
    countDenials(app, authenticator);
    await app.register(async (door) => registerTokenRoutes(door, { reader, authenticator, defaultOrg: "default" }));
    await app.register(async (door) =>
      registerRegistryRoutes(door, {
        publicUrl: `${PUBLIC_URL}/`,
        defaultOrg: "default",
        reader,
        record: wrapRecord === undefined ? writer : wrapRecord(writer),
        blobs: wrapStore === undefined ? blobs : wrapStore(blobs),
        authenticator,
        pushRule: async () => undefined,
        companions: async (push) => {
          pushed.push(push);
          return await hook.companions(push);
        },
        now,
        ...more,
        ...(sparseManifests === undefined ? {} : { sparseManifests }),
        ...(gate === "unfilled" ? {} : { gate }),
      }),
    );
    await app.listen({ host: "127.0.0.1", port: 0 });
    return {
      app,
      port: (app.server.address() as AddressInfo).port,
      reader,
      writer,
      blobs,
      async close() {
        app.server.closeAllConnections();
        await app.close();
        await authenticator.flush();
        await writer.stop();
        await store.close();
        await reader.close();
        await database.close();
      },
    };
  };

  let running = await boot();
  const must = async (type: string, org: string, body: JsonObject): Promise<void> => {
    const outcome = await running.writer.append({ type, org, actor: ADMIN, body });
    if (!outcome.ok) throw new Error(`${outcome.refusal.code}: ${outcome.refusal.message}`);
  };
  for (const name of organisations) await must("access.create-organisation", name, { name });

  const room: RegistryRoom = {
    get url() {
      return `http://127.0.0.1:${running.port}`;
    },
    get port() {
      return running.port;
    },
    directory: directory.path,
    get reader() {
      return running.reader;
    },
    get writer() {
      return running.writer;
    },
    get blobs() {
      return running.blobs;
    },
    keeps: (reader, digests, at) => parts.keeps(reader, digests, at),
    clock,
    pushed,
    get companions() {
      return hook.companions;
    },
    set companions(companions) {
      hook.companions = companions;
    },
    call(method, path, call = {}) {
      // Locations come from the public URL; this client reaches the same server on loopback.
      const url = path.startsWith(PUBLIC_URL) ? path.slice(PUBLIC_URL.length) : path;
      const token = call.as === undefined ? ADMIN_TOKEN : call.as;
      return send(`${room.url}${url}`, method, { ...call, token });
    },
    async person(name, roles) {
      await must("access.create-person", SYSTEM_ORG, { name });
      for (const [org, role] of Object.entries(roles)) {
        await must("access.grant-role", org, { principal: `person:${name}`, role });
      }
      const key = generateApiKey();
      await must("access.create-api-key", SYSTEM_ORG, {
        id: key.id,
        principal: `person:${name}`,
        label: "test",
        secretHash: hashSecret(key.secret),
        expires: null,
      });
      return key.text;
    },
    async pushBlob(repository, bytes, as) {
      const digest = sha256(bytes);
      const answer = await room.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
        body: bytes,
        ...(as === undefined ? {} : { as }),
      });
      if (answer.status !== 201) throw new Error(`blob push: ${answer.status} ${answer.text}`);
      return digest;
    },
    async pushImage(repository, reference, layer = `layer of ${reference}`, more = {}) {
      await room.pushBlob(repository, "{}");
      await room.pushBlob(repository, layer);
      const bytes = imageManifest("{}", [layer], more);
      const answer = await room.call("PUT", `/v2/${repository}/manifests/${reference}`, {
        body: bytes,
        headers: { "content-type": OCI_MANIFEST },
      });
      if (answer.status !== 201) throw new Error(`manifest push: ${answer.status} ${answer.text}`);
      return { bytes, digest: sha256(bytes), layer: sha256(layer) };
    },
    async events() {
      const rows = await running.reader
        .tables<RecordTables>()
        .selectFrom("event")
        .select("type")
        .where("type", "like", "registry.%")
        .orderBy("sequence")
        .execute();
      return rows.map((row) => row.type);
    },
    async restart() {
      await running.close();
      running = await boot();
    },
    async stop() {
      await running.close();
      await directory.dispose();
    },
  };
  return room;
}

/** The rows of a table of the registry. */
export async function rows<T extends keyof RegistryTables>(room: RegistryRoom, table: T): Promise<unknown[]> {
  return await room.reader.tables<RegistryTables>().selectFrom(table).selectAll().execute();
}
