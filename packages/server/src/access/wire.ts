import { z } from "zod";
import { decodeCursor, encodeCursor, pageQuery } from "../http/cursor.ts";
import { Problem } from "../http/problem.ts";
import { receiptSchema } from "../http/receipt.ts";
import type { Appended, RecordClient } from "../record/client.ts";
import type { Command } from "../record/command.ts";
import { newestSequence } from "../record/newest.ts";
import type { Reader } from "../storage/database.ts";
import type { Authenticator } from "./authenticate.ts";
import { nameSchema, personId, serviceAccountId } from "./names.ts";
import type { ListPlace } from "./queries.ts";
import { ROLES } from "./roles.ts";

/** What this room's routes need. */
export interface AccessRoutesContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
}

/** Under what everything here lies. */
export const API = "/api/assay/v1";

export const roleSchema = z.enum(ROLES);
export const timeSchema = z.int().describe("ms since the epoch");

/** Proof of what was recorded; null when it was so already and nothing had to be. */
export const receiptField = receiptSchema.nullable().describe("null when nothing had to change");

// An organisation or a principal out of grammar is one that is not there: only lengths are bounded here.
export const orgParams = z.object({ org: z.string().min(1).max(64) });
export const personParams = z.object({ name: nameSchema });
export const serviceParams = orgParams.extend({ name: nameSchema });
export const memberParams = orgParams.extend({ kind: z.enum(["person", "service"]), name: nameSchema });

/** `person/alice` and `service/ci` in an organisation's paths; a service account named there is that organisation's own. */
export function memberId(params: z.output<typeof memberParams>): string {
  return params.kind === "person" ? personId(params.name) : serviceAccountId(params.org, params.name);
}

export const pageParams = z.object(pageQuery);

/** A page of a list. */
export function pageSchema<S extends z.ZodType>(item: S) {
  return z.strictObject({ items: z.array(item), next: z.string().nullable() });
}

/**
 * Reads one page: the whole list is as of one sequence, which its cursor carries. `read` is asked for one row too many, which shows
 * whether there is a next page.
 *
 * @throws Problem 400 `cursor-invalid`.
 */
export async function readPage<Row, Item>(
  reader: Reader,
  query: { readonly limit: number; readonly cursor?: string | undefined },
  read: (place: ListPlace) => Promise<Row[]>,
  position: (row: Row) => number,
  show: (row: Row) => Item,
): Promise<{ items: Item[]; next: string | null }> {
  const from = query.cursor === undefined ? undefined : decodeCursor(query.cursor);
  const asOf = from?.asOf ?? (await newestSequence(reader));
  const rows = await read({ asOf, position: from?.position ?? null, limit: query.limit + 1 });
  const shown = rows.slice(0, query.limit);
  const last = shown.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return { items: shown.map(show), next: more ? encodeCursor({ asOf, position: position(last) }) : null };
}

/** Appends one command. @throws Problem what the command was refused with. */
export async function append(record: RecordClient, command: Command): Promise<Extract<Appended, { ok: true }>> {
  const appended = await record.append(command);
  if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
  return appended;
}

/** When a command's first event was recorded, from its result. */
export function createdTime(appended: Extract<Appended, { ok: true }>): number {
  return createdResult.parse(appended.results[0]).created;
}

const createdResult = z.object({ created: z.int() });
