import { z } from "zod";
import { recordBootstrapUses } from "./access/bootstrap-use.ts";
import { ServerError } from "./errors.ts";
import { defineJob, type JobDefinition, type Schedule } from "./jobs/job.ts";
import { SCRUB_LIMITS } from "./integrity/limits.ts";
import type { Scrub } from "./integrity/scrub.ts";
import { COLLECT, COLLECT_ATTEMPTS } from "./collection/operations.ts";
import { collectionJob, type CollectionContext } from "./collection/run.ts";
import { MIRROR_LIMITS } from "./mirrors/limits.ts";
import { fill, FILL, fillSchema, REPLICATE, replicate, replicateSchema, type RunContext } from "./mirrors/replicate.ts";
import type { ReplicationWatch } from "./mirrors/replication-watch.ts";
import type { RecordClient } from "./record/client.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "./record/command.ts";
import { sweepRegistry } from "./registry/maintenance.ts";
import type { InUse } from "./registry/retention-plan.ts";
import { applyAllRetention } from "./registry/retention-run.ts";
import { traced, type Tracing } from "./signals/tracing.ts";
import type { BlobStore } from "./storage/blobs.ts";
import type { Reader } from "./storage/database.ts";
import { type DeliverContext, deliver, deliverySchema } from "./webhooks/deliver.ts";
import { WEBHOOK_LIMITS } from "./webhooks/limits.ts";
import { DELIVER } from "./webhooks/operations.ts";
import type { WebhookWatch } from "./webhooks/watch.ts";

/** What the work of the queue is done with. */
export interface JobsContext {
  readonly record: RecordClient;
  readonly reader: Reader;
  readonly blobs: BlobStore;
  /** Undefined: the background scrub is off. */
  readonly scrub: Scrub | undefined;
  /** What retention rules may not delete. */
  readonly inUse: InUse;
  readonly collection: Pick<CollectionContext, "keeps" | "graceMs">;
  readonly webhooks: DeliverContext & { readonly watch: WebhookWatch };
  /** Undefined: nobody is told of spans. */
  readonly tracing: Tracing | undefined;
  readonly mirrors: RunContext & { readonly watch: ReplicationWatch };
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Every kind of job of this program, and what makes them again and again. Each process of the server runs them. */
export function composeJobs(context: JobsContext): {
  readonly jobs: readonly JobDefinition[];
  readonly schedules: readonly Schedule[];
} {
  const { record, reader, blobs, scrub, webhooks, collection, inUse, mirrors } = context;
  const nothing = z.strictObject({});
  return {
    jobs: [
      defineJob({
        kind: "registry.sweep",
        body: nothing,
        maxAttempts: 5,
        leaseMs: 30 * MINUTE,
        run: async () => {
          await sweepRegistry(record, blobs);
        },
      }),
      defineJob({
        kind: COLLECT,
        body: z.strictObject({ run: z.int().optional() }),
        maxAttempts: COLLECT_ATTEMPTS,
        leaseMs: 10 * MINUTE,
        run: (body, job) => collectionJob({ record, reader, blobs, ...collection }, body.run, job),
      }),
      defineJob({
        kind: "registry.retention",
        body: nothing,
        maxAttempts: 3,
        leaseMs: 10 * MINUTE,
        run: (_body, { renew }) => applyAllRetention({ record, reader, inUse }, renew),
      }),
      defineJob({
        kind: "record.write-heads",
        body: nothing,
        maxAttempts: 5,
        leaseMs: 5 * MINUTE,
        run: (_body, { renew }) => writeHeads(record, renew),
      }),
      defineJob({
        kind: "access.record-bootstrap-uses",
        body: nothing,
        maxAttempts: 5,
        leaseMs: 5 * MINUTE,
        run: () => recordBootstrapUses(record),
      }),
      defineJob({
        kind: "jobs.sweep",
        body: nothing,
        maxAttempts: 5,
        leaseMs: MINUTE,
        run: async () => {
          await record.operate("jobs.sweep", {});
        },
      }),
      defineJob({
        kind: DELIVER,
        body: deliverySchema,
        maxAttempts: WEBHOOK_LIMITS.attempts,
        leaseMs: MINUTE,
        atOnce: WEBHOOK_LIMITS.atOnce,
        perLane: WEBHOOK_LIMITS.atOncePerOrganisation,
        run: (body, job) => {
          const { org, webhook, sequence } = body;
          const attributes = { "assay.org": org, "assay.webhook": webhook, "assay.sequence": sequence };
          const span = { kind: "client", name: "webhooks.deliver", attributes } as const;
          return traced(context.tracing, span, () => deliver(webhooks, body, job));
        },
      }),
      defineJob({
        kind: "webhooks.look",
        body: nothing,
        maxAttempts: 5,
        leaseMs: 5 * MINUTE,
        run: (_body, { renew }) => webhooks.watch.lookAtAll(renew),
      }),
      defineJob({
        kind: REPLICATE,
        body: replicateSchema,
        maxAttempts: MIRROR_LIMITS.attempts,
        leaseMs: MIRROR_LIMITS.leaseMs,
        atOnce: MIRROR_LIMITS.runsAtOnce,
        perLane: MIRROR_LIMITS.runsPerOrganisation,
        run: (body, job) => replicate(mirrors, body, job),
      }),
      defineJob({
        kind: FILL,
        body: fillSchema,
        maxAttempts: MIRROR_LIMITS.attempts,
        leaseMs: MIRROR_LIMITS.leaseMs,
        atOnce: MIRROR_LIMITS.runsAtOnce,
        perLane: MIRROR_LIMITS.runsPerOrganisation,
        run: (body, job) => fill(mirrors, body, job),
      }),
      defineJob({
        kind: "mirrors.look",
        body: nothing,
        maxAttempts: 5,
        leaseMs: 5 * MINUTE,
        run: (_body, { renew }) => mirrors.watch.lookAtAll(renew),
      }),
      ...(scrub === undefined
        ? []
        : [
            defineJob({
              kind: "integrity.scrub",
              body: nothing,
              maxAttempts: 3,
              leaseMs: 5 * MINUTE,
              run: (_body, { signal, renew }) => scrub.turn({ ms: SCRUB_LIMITS.turnMs, signal, renew }),
            }),
          ]),
    ],
    schedules: [
      ...(scrub === undefined ? [] : [{ key: "integrity.scrub", kind: "integrity.scrub", body: {}, everyMs: MINUTE }]),
      { key: "registry.sweep", kind: "registry.sweep", body: {}, everyMs: 10 * MINUTE },
      { key: COLLECT, kind: COLLECT, body: {}, everyMs: 6 * HOUR },
      { key: "registry.retention", kind: "registry.retention", body: {}, everyMs: 24 * HOUR },
      { key: "record.write-heads", kind: "record.write-heads", body: {}, everyMs: 10 * MINUTE },
      {
        key: "access.record-bootstrap-uses",
        kind: "access.record-bootstrap-uses",
        body: {},
        everyMs: 10 * MINUTE,
      },
      { key: "mirrors.look", kind: "mirrors.look", body: {}, everyMs: MINUTE },
      { key: "webhooks.look", kind: "webhooks.look", body: {}, everyMs: 5 * MINUTE },
      { key: "jobs.sweep", kind: "jobs.sweep", body: {}, everyMs: 10 * MINUTE },
    ],
  };
}

/** Writes down the head of every organisation that has gone on since the last time, a command's worth at a time. */
async function writeHeads(record: RecordClient, renew: () => Promise<void>): Promise<void> {
  for (;;) {
    const written = await record.append({
      type: "record.write-heads",
      org: SYSTEM_ORG,
      actor: SYSTEM_ACTOR,
      body: {},
    });
    if (!written.ok) throw new ServerError("internal", written.refusal.message);
    if (written.receipts.length === 0) return;
    await renew();
  }
}
