import type { FastifyReply, FastifyRequest } from "fastify";
import type { Action } from "../access/authorize.ts";
import { appendNaming } from "../collection/naming.ts";
import type { Appended } from "../record/client.ts";
import type { Actor, Command } from "../record/command.ts";
import type { JsonObject } from "../record/command.ts";
import type { SettledRecord } from "../record/settled.ts";
import type { SettledReader } from "../storage/prepared.ts";
import { Problem } from "../http/problem.ts";
import type { RegistryContext } from "./context.ts";
import type { PullGate } from "./pull-gate.ts";
import type { NamedDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import type { RegistryPath } from "./path.ts";
import type { PullCounter } from "./pull-counter.ts";
import type { RecentManifests } from "./recent-manifests.ts";
import type { ReferrerPages } from "./referrer-pages.ts";
import type { Uploads } from "./uploads.ts";
import type { WholeBlobs } from "./whole-blobs.ts";

/** What the handlers share besides the room's context. */
export interface Services extends RegistryContext {
  readonly uploads: Uploads;
  readonly wholes: WholeBlobs;
  readonly pulls: PullCounter;
  readonly manifests: RecentManifests;
  readonly referrerPages: ReferrerPages;
  readonly settled: SettledRecord;
  readonly gate: PullGate;
  readonly now: () => number;
  readonly leaseMs: number;
}

/** A request to a repository, by somebody known, who may do what its handler does there. */
export interface RepositoryExchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly query: URLSearchParams;
  readonly actor: Actor;
  /** The repository's name as the client wrote it (in grammar): what goes into locations, so that its token's scope still fits. */
  readonly name: string;
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  /** Whether it is only as everybody that they may: because the repository is public, and by no role of theirs. */
  readonly asEverybody: boolean;
  /** What was settled when it was asked who they are: for what is asked before anything but the database is waited for. */
  readonly settledAtStart: SettledReader;
}

/** {@link RepositoryExchange}, and what in the repository it is about. */
export interface Exchange<K extends RegistryPath["kind"]> extends RepositoryExchange {
  readonly path: Extract<RegistryPath, { kind: K }>;
}

/** One method on one kind of path. */
export interface Handler<K extends RegistryPath["kind"]> {
  readonly action: Action;
  run(services: Services, exchange: Exchange<K>): Promise<FastifyReply>;
}

/** An absolute location below `/v2/`, from the public URL and never from what the request says its host is. */
export function location(services: Services, exchange: RepositoryExchange, rest: string): string {
  return `${services.publicUrl}/v2/${exchange.name}/${rest}`;
}

/** Where the bytes of a blob are. */
export function blobLocation(services: Services, exchange: RepositoryExchange, digest: NamedDigest): string {
  return location(services, exchange, `blobs/${digest}`);
}

/**
 * The headers under which stored bytes go out: whatever they are, a browser neither guesses a type, nor shows them, nor runs them in
 * this origin.
 *
 * @param digest as the client named the bytes: it compares.
 * @param caching who may keep them: {@link cachingOf}.
 */
export function storedBytesHeaders(digest: NamedDigest, caching: string): Record<string, string> {
  return {
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "cache-control": caching,
    "x-content-type-options": "nosniff",
    "content-disposition": "attachment",
    "content-security-policy": "sandbox",
  };
}

/**
 * Who may keep an answer with stored bytes (RFC 9111 §5.2.2): the client itself, or any cache on the way where everybody gets the same answer,
 * because the repository is public and no gate judges what is pulled. Whoever keeps it asks again each time, with the credential of who asks: the
 * repository may be public no more, a role or the manifest may end, and a gate may be set.
 */
export async function cachingOf(services: Services, exchange: RepositoryExchange): Promise<string> {
  if (!exchange.asEverybody || (await services.gate.stands(exchange))) return "private, no-cache";
  return "public, no-cache";
}

/** Whether a request already has these bytes (RFC 9110 §13.1.2). */
export function alreadyHas(request: FastifyRequest, digest: NamedDigest): boolean {
  const header = request.headers["if-none-match"];
  if (header === undefined) return false;
  return header.split(",").some((tag) => {
    const text = tag.trim();
    return text === "*" || text === `"${digest}"` || text === `W/"${digest}"`;
  });
}

/** A page size from the query. @throws OciError 400 `UNSUPPORTED`. */
export function pageSize(query: URLSearchParams, most: number): number {
  const text = query.get("n");
  if (text === null) return most;
  if (!/^\d{1,9}$/.test(text)) {
    throw new OciError(400, "UNSUPPORTED", `n must be a whole number, not ${JSON.stringify(text.slice(0, 50))}`);
  }
  return Math.min(Number(text), most);
}

/** Sends JSON, under exactly this content type. */
export function sendJson(reply: FastifyReply, value: unknown): FastifyReply {
  return reply.header("content-type", "application/json").send(Buffer.from(JSON.stringify(value)));
}

/**
 * Lets the manifests that name a blob hold it, which was not in their repository when they came. Before it is told that the blob is here:
 * whoever hears it need do nothing else for it to stay.
 */
export async function holdAwaited(services: Services, exchange: RepositoryExchange, named: NamedDigest): Promise<void> {
  const { org, actor, repository } = exchange;
  await append(services, exchange, [
    { type: "registry.hold-reference", org, actor, body: { repository, digest: named } },
  ]);
}

/**
 * Appends commands and says where: the `Assay-Sequence` header names the record's sequence as of which all of it holds.
 *
 * @param commands made anew where bytes that they name had to be put again (collection/naming.ts).
 * @returns the first command's result.
 * @throws Problem when the record refuses.
 */
export async function append(
  services: Services,
  exchange: RepositoryExchange,
  commands: readonly [Command, ...Command[]] | (() => Promise<readonly [Command, ...Command[]]>),
): Promise<JsonObject> {
  const make = typeof commands === "function" ? commands : () => Promise.resolve(commands);
  const appended = await appendNaming(services.record, make);
  if (!appended.ok) throw Problem.fromRefusal(appended.refusal);
  return sayWhere(exchange, appended);
}

/** {@link append}, for what was appended already. */
export function sayWhere(exchange: RepositoryExchange, appended: Extract<Appended, { ok: true }>): JsonObject {
  const result = (appended.results[0] ?? {}) as JsonObject;
  const sequence = appended.receipts.at(-1)?.sequence ?? result["sequence"];
  if (typeof sequence === "number") exchange.reply.header("assay-sequence", String(sequence));
  return result;
}
