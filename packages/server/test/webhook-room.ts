/** Webhooks on a record of their own, with a clock that tests move and faults they put in: deliveries without HTTP doors. */
import { createHash } from "node:crypto";
import { composeParts, MIGRATIONS } from "../src/composition.ts";
import { defineJob } from "../src/jobs/job.ts";
import { type JobRow, listJobs } from "../src/jobs/queries.ts";
import type { JobState } from "../src/jobs/schema.ts";
import { JobRunner } from "../src/jobs/runner.ts";
import type { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import type { RecordClient } from "../src/record/client.ts";
import { type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import { decodeEnvelope, liftEvent } from "../src/record/event.ts";
import { openRecord } from "../src/record/open.ts";
import { ServerError } from "../src/errors.ts";
import type { Reader, Transactor, WriteDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openReader, openWriter } from "../src/storage/open.ts";
import { deliver, deliverySchema } from "../src/webhooks/deliver.ts";
import type { Endpoint } from "../src/webhooks/endpoint.ts";
import { WEBHOOK_LIMITS } from "../src/webhooks/limits.ts";
import { DELIVER } from "../src/webhooks/operations.ts";
import { type DeliveryRow, currentWebhook, listDeliveries } from "../src/webhooks/queries.ts";
import type { Lift } from "../src/webhooks/scan.ts";
import { newSecretId, secretBytes, shownSecret } from "../src/webhooks/secret.ts";
import { WebhookWatch } from "../src/webhooks/watch.ts";
import { ADMIN } from "./access-room.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";

export interface WebhookRoom {
  readonly record: RecordClient;
  readonly keyring: Keyring;
  readonly reader: Reader;
  /** Everything that was logged: message and detail. */
  readonly logged: string[];
  /** Runs before each operation of the deliveries; what it throws, the operation fails with. */
  fault: ((type: string) => void) | undefined;
  /** While it is set, the service's webhook key cannot be used. */
  withoutKey: boolean;
  append(type: string, body: JsonObject, org?: string): Promise<number>;
  /** Makes an endpoint; returns its secret as it is shown. */
  webhook(name: string, url: string, settings?: Partial<Endpoint>, org?: string): Promise<string>;
  /** Pushes a manifest under a tag; returns the sequence of the newest event. */
  push(tag: string, repository?: string): Promise<number>;
  deliveries(name: string, org?: string): Promise<DeliveryRow[]>;
  jobs(state: JobState): Promise<JobRow[]>;
  /** Whether no delivery is being made just now. */
  idle(): Promise<boolean>;
  /** Moves the writer's clock forward, ms, and lets the runner look. */
  pass(ms: number): void;
  /** Looks at all endpoints, as a process does at its start. */
  look(): Promise<void>;
  /** One turn of looking for one endpoint. */
  advance(name: string, org?: string): Promise<void>;
  /** Records so many events that tell an endpoint something of the kind `push` or `tag`, and lets nobody look. */
  recordMany(events: number): Promise<void>;
  /** Writes past the record. */
  write(work: (transactor: Transactor) => Promise<void>): Promise<void>;
  dispose(): Promise<void>;
}

function manifestOf(repository: string, tag: string): JsonObject {
  const digest = `sha256:${createHash("sha256").update(`${repository}:${tag}`).digest("hex")}`;
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return { repository, digest, size: 10, mediaType, references: [], tags: [tag] };
}

/** Waits until something holds. */
export async function until(holds: () => Promise<boolean>, ms = 15_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error("it did not come to hold");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** @param places hosts that may be asked although they are private. */
export async function openWebhookRoom(places: readonly string[], timeoutMs = 500): Promise<WebhookRoom> {
  const directory = await temporaryDirectory();
  const opened = openWriter(await placeOf(directory.path));
  let ahead = 0;
  const database: WriteDatabase = { ...opened, now: async () => (await opened.now()) + ahead };
  await migrate(database, MIGRATIONS);
  const parts = composeParts();
  const { writer, keyring } = await openRecord({
    database,
    dataDirectory: directory.path,
    master: MasterKey.fromDirectory(directory.path, true),
    parts,
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: "acme" } }],
    host: undefined,
  });
  const reader = openReader(await placeOf(directory.path));
  const logged: string[] = [];
  const keep = (detail: object, message: string): void => {
    const { err } = detail as { err?: unknown };
    logged.push(`${message} ${JSON.stringify(detail)} ${err instanceof Error ? err.message : ""}`);
  };
  const log = { warn: keep, error: keep };
  const lift: Lift = ({ sequence, type, bytes }) => liftEvent(sequence, decodeEnvelope(bytes), parts.events.get(type));
  const record: RecordClient = {
    append: (commands) => writer.append(commands),
    async operate(type, body) {
      room.fault?.(type);
      return await writer.operate(type, body);
    },
  };
  const watch = new WebhookWatch({ reader, record, lift, wake: () => runner.wake(), log });
  const egress = { privatePlaces: new Set(places) };
  const locked = Object.create(keyring, {
    derive: {
      value: () => {
        throw new ServerError("key-missing", "there is no key for webhook");
      },
    },
  }) as Keyring;
  const sender = {
    get keyring() {
      return room.withoutKey ? locked : keyring;
    },
    egress,
    publicUrl: "https://assay.test",
    now: () => Date.now() + ahead,
    timeoutMs,
  };
  const job = defineJob({
    kind: DELIVER,
    body: deliverySchema,
    maxAttempts: WEBHOOK_LIMITS.attempts,
    leaseMs: 60_000,
    atOnce: WEBHOOK_LIMITS.atOnce,
    perLane: WEBHOOK_LIMITS.atOncePerOrganisation,
    run: (body, context) => deliver({ reader, record, lift, sender, watch, told: () => undefined }, body, context),
  });
  const runner: JobRunner = new JobRunner({ record: writer, reader, jobs: [job], schedules: [], owner: "test", log });
  runner.start();
  const newest = async (answer: ReturnType<RecordClient["append"]>): Promise<number> => {
    const appended = await answer;
    if (!appended.ok) throw new Error(`${appended.refusal.code}: ${appended.refusal.message}`);
    return appended.receipts.at(-1)?.sequence ?? -1;
  };
  const room: WebhookRoom = {
    record,
    keyring,
    reader,
    logged,
    fault: undefined,
    withoutKey: false,
    async append(type, body, org = "acme") {
      const sequence = await newest(writer.append({ type, org, actor: ADMIN, body }));
      watch.appended([org]);
      return sequence;
    },
    async webhook(name, url, settings = {}, org = "acme") {
      const secret = newSecretId();
      const { kinds = ["push", "delete", "tag", "evidence", "decision"], repositories = null } = settings;
      const { format = "cloudevents" } = settings;
      await room.append("webhooks.create", { name, url, kinds: [...kinds], repositories, format, secret }, org);
      return shownSecret(secretBytes(keyring, org, secret));
    },
    async push(tag, repository = "acme/app") {
      return await room.append("registry.put-manifest", manifestOf(repository, tag), repository.split("/")[0]);
    },
    async deliveries(name, org = "acme") {
      const webhook = await currentWebhook(reader, org, name);
      if (webhook === undefined) return [];
      const place = { org, webhook: webhook.id, state: undefined, before: undefined, limit: 1_000 };
      return (await listDeliveries(reader, place)).toReversed();
    },
    jobs: (state) => listJobs(reader, { state, kind: DELIVER, before: undefined, limit: 100 }),
    idle: async () => (await room.jobs("running")).length === 0,
    pass(ms) {
      ahead += ms;
      runner.wake();
    },
    look: () => watch.lookAtAll(async () => undefined),
    async advance(name, org = "acme") {
      const webhook = await currentWebhook(reader, org, name);
      if (webhook !== undefined) await watch.advance(webhook);
    },
    async recordMany(events) {
      for (let at = 0; at < events; at += 100) {
        await newest(
          writer.append(
            Array.from({ length: 50 }, (_, n) => ({
              type: "registry.put-manifest",
              org: "acme",
              actor: ADMIN,
              body: manifestOf("acme/app", `${at + n}-dev`),
            })),
          ),
        );
      }
    },
    write: (work) => database.transaction(work),
    async dispose() {
      await Promise.all([runner.stop(500), watch.stop()]);
      await writer.stop();
      await reader.close();
      await database.close();
      await directory.dispose();
    },
  };
  return room;
}
