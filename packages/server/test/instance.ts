/** A whole server in this process, on loopback, with a temporary data directory: what wire tests talk to. */
import { freePort } from "./free-port.ts";
import { pino } from "pino";
import type { Config } from "../src/config.ts";
import { composeParts, MIGRATIONS } from "../src/composition.ts";
import { MasterKey } from "../src/keys/master.ts";
import type { RecordClient } from "../src/record/client.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import { openRecord } from "../src/record/open.ts";
import { serve } from "../src/serve.ts";
import type { ReadDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { lockPlace, openReader, openWriter } from "../src/storage/open.ts";
import { nodeCrypto } from "@assay/evidence/node";
import { beforeSigning } from "../src/witness-composition.ts";
import { temporaryDirectory, stampFor } from "./core.ts";
import { placeOf } from "./database.ts";
import { s3Of } from "./stored-blobs.ts";

export const ADMIN_TOKEN = "test-admin-token-0123456789";

export interface Instance {
  readonly url: string;
  readonly adminToken: string;
  readonly dataDirectory: string;
  readonly record: RecordClient;
  /** Resolves when everything committed is published. */
  published(): Promise<void>;
  readonly reader: ReadDatabase;
  /** Every route of the application. */
  readonly routes: readonly { readonly method: string; readonly url: string }[];
  /** Stops the server and starts it again on the same data directory and port, with `changes` to its settings. */
  restart(changes?: Partial<Config>): Promise<void>;
  /** Stops the server and leaves the data directory. */
  halt(): Promise<void>;
  /** Stops the server and removes the data directory. */
  stop(): Promise<void>;
  /** A JSON request to the own API as the admin (or under `token`). */
  api(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: unknown }>;
}

/** Boots an instance. */
export async function startInstance(options: Partial<Config> = {}): Promise<Instance> {
  const directory = await temporaryDirectory();
  const port = await freePort();
  let config: Config = {
    listen: { host: "127.0.0.1", port },
    ...(await placeOf(directory.path)),
    s3: s3Of(directory.path),
    publicUrl: undefined,
    masterKey: undefined,
    adminToken: ADMIN_TOKEN,
    org: undefined,
    enableAdmin: false,
    tls: undefined,
    metricsListen: undefined,
    logLevel: "fatal",
    workers: 1,
    ...options,
  };
  const boot = async () => {
    const lock = lockPlace(config);
    const database = openWriter(config);
    await migrate(database, MIGRATIONS);
    const { writer, log } = await openRecord({
      database,
      dataDirectory: config.dataDirectory,
      master: MasterKey.fromDirectory(config.dataDirectory, true),
      parts: composeParts(),
      founding: [
        {
          type: "access.bootstrap",
          org: SYSTEM_ORG,
          actor: SYSTEM_ACTOR,
          body: { defaultOrg: config.org ?? "default" },
        },
      ],
      host: undefined,
      beforeSigning: beforeSigning(config.witnessPolicy, nodeCrypto, () => undefined),
      stamp: stampFor(database),
    });
    const serving = await serve(config, ADMIN_TOKEN, writer, pino({ level: config.logLevel }));
    const reader = openReader(config);
    return {
      url: serving.url,
      routes: serving.app.routes,
      writer,
      log,
      reader,
      async stop() {
        await serving.stop(500);
        await writer.stop();
        await reader.close();
        await database.close();
        lock.release();
      },
    };
  };
  let running = await boot();
  return {
    get url() {
      return running.url;
    },
    adminToken: ADMIN_TOKEN,
    dataDirectory: directory.path,
    get record() {
      return running.writer;
    },
    get reader() {
      return running.reader;
    },
    get routes() {
      return running.routes;
    },
    published: () => running.log.published(),
    async restart(changes = {}) {
      await running.stop();
      config = { ...config, ...changes };
      running = await boot();
    },
    halt: () => running.stop(),
    async stop() {
      await running.stop();
      await directory.dispose();
    },
    async api(method, path, body, token = ADMIN_TOKEN) {
      const response = await fetch(new URL(path, running.url), {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
    },
  };
}
