import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { type Authenticator, requireActor } from "../access/authenticate.ts";
import { authorize } from "../access/authorize.ts";
import { timeSchema } from "../access/wire.ts";
import { Problem } from "../http/problem.ts";
import { openJob } from "../jobs/operations.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { newCredentialId, sealCredential } from "./credential.ts";
import { findRun } from "./replication-queries.ts";
import { RUN_STATES } from "./schema.ts";
import { type Credential, credentialSchema } from "./setting.ts";

/** What the routes of this room need. */
export interface MirrorRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  readonly keyring: Keyring;
  /** Tells the pulls of this process that a setting changed. */
  readonly changed: () => void;
  /** Tells the runner of this process that there is work. */
  readonly wake: () => void;
}

export const tags = ["mirrors"];

export const credentialField = credentialSchema
  .nullable()
  .optional()
  .describe("null: the other registry is asked with none; absent: with the one that is set.");

/** A run as answers show it. */
export const runSchema = z.strictObject({
  state: z.enum(RUN_STATES).describe("failed: something could not be copied."),
  underWay: z
    .boolean()
    .describe("Whether it runs, or waits to be tried again; a failed one that does neither is given up."),
  started: timeSchema,
  finished: timeSchema.nullable(),
  copied: z.int(),
  present: z.int().describe("What was there already."),
  failed: z.int(),
  at: z.string().nullable().describe("What it is at."),
  problem: z.string().nullable().describe("The first thing that went wrong."),
});

/**
 * Who asks, if they may administer the organisation's mirrors. THE one place of this room's routes that says so; every command asks again in
 * its transaction.
 *
 * @throws Problem.
 */
export async function administratorOf(
  { reader, authenticator }: MirrorRoutesContext,
  request: FastifyRequest,
  org: string,
): Promise<Actor> {
  const actor = await requireActor(authenticator, request);
  const refusal = await authorize(reader, actor, "org.administer", { org });
  if (refusal !== undefined) throw Problem.fromRefusal(refusal);
  return actor;
}

/**
 * Keeps a credential, encrypted, before the event that names it: a setting whose credential is not there is none.
 *
 * @returns its name; null: there is to be none; undefined: the one that is set stays.
 */
export async function keepCredential(
  { record, keyring }: MirrorRoutesContext,
  org: string,
  credential: Credential | null | undefined,
): Promise<string | null | undefined> {
  if (credential === null || credential === undefined) return credential;
  const id = newCredentialId();
  const sealed = sealCredential(keyring, org, id, credential);
  await record.operate("mirrors.keep-credential", { org, id, sealed });
  return id;
}

/**
 * Lets the credential go that a setting had and has no more: a secret nobody needs is kept nowhere.
 *
 * @param before what was named before the setting was changed or removed.
 * @param now what is named since.
 */
export async function dropCredential(
  { record }: MirrorRoutesContext,
  org: string,
  before: string | null | undefined,
  now: string | null,
): Promise<void> {
  if (before === null || before === undefined || before === now) return;
  await record.operate("mirrors.drop-credential", { org, id: before });
}

/** The newest run of something, and whether its job waits or runs; null when there was none. */
export async function showRun(
  reader: Reader,
  run: { readonly org: string; readonly subject: string; readonly kind: string; readonly key: string },
): Promise<z.output<typeof runSchema> | null> {
  const row = await findRun(reader, run.org, run.subject);
  if (row === undefined) return null;
  const { state, started, finished, copied, present, failed, at, problem } = row;
  const underWay = (await openJob(reader, run.kind, run.key)) !== undefined;
  return { state, underWay, started, finished, copied, present, failed, at, problem };
}
