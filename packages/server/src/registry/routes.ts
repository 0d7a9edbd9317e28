import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Action, authorizeKnown, authorizePublic } from "../access/authorize.ts";
import { challenge } from "../access/challenge.ts";
import { ANONYMOUS } from "../access/denials.ts";
import { type CanonicalRepository, canonicalRepository } from "../access/names.ts";
import { Problem } from "../http/problem.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { Actor, Refusal } from "../record/command.ts";
import { SettledRecord } from "../record/settled.ts";
import { note } from "../signals/about.ts";
import type { SettledReader } from "../storage/prepared.ts";
import { deleteBlob, getBlob, headBlob } from "./blob-routes.ts";
import type { RegistryContext } from "./context.ts";
import { OciError, sendOciError, toOciError } from "./errors.ts";
import type { Handler, Services } from "./exchange.ts";
import { BodyInterrupted, lingerOver } from "./incoming.ts";
import { LEASE_MS } from "./limits.ts";
import { catalog, referrers, tagsList } from "./list-routes.ts";
import { deleteManifest, getManifest, headManifest, putManifest } from "./manifest-routes.ts";
import { namedIn, operationName } from "./operation-name.ts";
import { parseRegistryPath, type RegistryPath } from "./path.ts";
import { PullCounter } from "./pull-counter.ts";
import { CLOSED_GATE } from "./pull-gate.ts";
import { noteExceeded } from "./quota-note.ts";
import { RecentManifests } from "./recent-manifests.ts";
import { ReferrerPages } from "./referrer-pages.ts";
import { isPublic } from "./repository-queries.ts";
import { cancelUpload, closeUpload, openUpload, patchUpload, uploadStatus } from "./upload-routes.ts";
import { Uploads } from "./uploads.ts";
import { WholeBlobs } from "./whole-blobs.ts";

export type { PushedManifest, RegistryContext } from "./context.ts";
export type { Pull, PullGate } from "./pull-gate.ts";

/** How often counted pulls are written, ms. */
const PULLS_FLUSH_MS = 10_000;

/** The kinds of path that lie in a repository. */
type RepositoryPath = Exclude<RegistryPath, { kind: "base" | "catalog" | "unknown" }>;
type Handlers = { readonly [K in RepositoryPath["kind"]]: Readonly<Record<string, Handler<K>>> };

/** THE table of the door: what a path names × method → who may, and what is done. */
export const HANDLERS: Handlers = {
  blob: { GET: getBlob, HEAD: headBlob, DELETE: deleteBlob },
  uploads: { POST: openUpload },
  upload: { GET: uploadStatus, PATCH: patchUpload, PUT: closeUpload, DELETE: cancelUpload },
  manifest: { GET: getManifest, HEAD: headManifest, PUT: putManifest, DELETE: deleteManifest },
  tags: { GET: tagsList },
  referrers: { GET: referrers },
};

/** Who asks, and what was settled when they did: what is asked of it is asked before anything but the database is waited for. */
interface Asker {
  readonly actor: Actor;
  readonly settled: SettledReader;
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** The scope a request needs (Docker token authentication, "Resource Scope Grammar"), as a client has to ask for it. */
export function scopeOf(path: RegistryPath, method: string, query?: URLSearchParams): string | undefined {
  if (path.kind === "base" || path.kind === "unknown") return undefined;
  if (path.kind === "catalog") return "registry:catalog:*";
  if (method === "GET" || method === "HEAD") {
    return `repository:${path.name}:${path.kind === "upload" ? "pull,push" : "pull"}`;
  }
  if (method === "DELETE" && path.kind !== "upload") return `repository:${path.name}:delete`;
  const own = `repository:${path.name}:pull,push`;
  // A mount pulls from where it mounts. A name out of grammar is nobody's scope.
  const from = path.kind === "uploads" && query?.has("mount") === true ? query.get("from") : null;
  return from === null || canonicalRepository(from, "-") === undefined ? own : `${own} repository:${from}:pull`;
}

function methodNotAllowed(method: string, allowed: readonly string[]): OciError {
  return new OciError(405, "UNSUPPORTED", `${method} is not supported here`, {
    headers: { allow: allowed.join(", ") },
  });
}

/** What a request's URL names. */
function targetOf({ raw }: FastifyRequest): { readonly path: RegistryPath; readonly query: URLSearchParams } {
  const url = raw.url ?? "/";
  const mark = url.indexOf("?");
  const path = parseRegistryPath(mark === -1 ? url : url.slice(0, mark));
  return { path, query: new URLSearchParams(mark === -1 ? "" : url.slice(mark + 1)) };
}

/** Who asks, and the reader that says what they may. @throws Problem 401. */
async function authenticated(services: Services, { headers }: FastifyRequest): Promise<Asker> {
  if (headers.authorization === undefined) throw new Problem(401, "unauthorized", "authentication required");
  const settled = await services.settled.now();
  const actor = await services.authenticator.authenticate(headers, settled);
  if (actor === undefined) throw new Problem(401, "unauthorized", "authentication required");
  return { actor, settled };
}

/**
 * What a refused request is answered with; undefined when it reads what is public, which everybody may. A token that does not reach there
 * is told so, as is everybody without a credential, whatever they named: another token helps, or one bought with a credential.
 */
async function refusedHere(
  { reader }: Services,
  actor: Actor,
  action: Action,
  place: CanonicalRepository,
  refusal: Refusal,
): Promise<Refusal | undefined> {
  if (action === "registry.pull" && (await isPublic(reader, place.repository))) {
    return await authorizePublic(reader, actor, action, place);
  }
  if (actor.id !== ANONYMOUS) return refusal;
  return { code: "token-insufficient", status: 401, message: "this needs a credential" };
}

/** A request that is to be served. */
interface Asked {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly asker: Asker;
  readonly query: URLSearchParams;
}

async function inRepository<K extends RepositoryPath["kind"]>(
  services: Services,
  path: Extract<RepositoryPath, { kind: K }>,
  handler: Handler<K>,
  { request, reply, asker, query }: Asked,
): Promise<FastifyReply> {
  const { actor, settled } = asker;
  const canonical = canonicalRepository(path.name, services.defaultOrg);
  if (canonical === undefined) {
    throw new OciError(400, "NAME_INVALID", `${JSON.stringify(path.name.slice(0, 300))} is not a repository name`, {
      detail: { name: path.name.slice(0, 300) },
    });
  }
  note(request, { ...canonical, ...namedIn(path, query) });
  const refusal = await authorizeKnown(settled, actor, handler.action, canonical);
  const refused = refusal && (await refusedHere(services, actor, handler.action, canonical, refusal));
  if (refused !== undefined) throw Problem.fromRefusal(refused);
  const asEverybody = refusal !== undefined;
  const exchange = {
    request,
    reply,
    path,
    query,
    actor,
    name: path.name,
    asEverybody,
    settledAtStart: settled,
    ...canonical,
  };
  try {
    return await handler.run(services, exchange);
  } catch (error) {
    await noteExceeded(services, exchange, error);
    throw error;
  }
}

/** @throws OciError 405. */
function handlerOf<K extends RepositoryPath["kind"]>(kind: K, method: string): Handler<K> {
  const handlers: Readonly<Record<string, Handler<K>>> = HANDLERS[kind];
  const handler = Object.hasOwn(handlers, method) ? handlers[method] : undefined;
  if (handler === undefined) throw methodNotAllowed(method, Object.keys(handlers));
  return handler;
}

function dispatch(services: Services, path: RepositoryPath, on: Asked): Promise<FastifyReply> {
  const { method } = on.request;
  switch (path.kind) {
    case "blob":
      return inRepository(services, path, handlerOf("blob", method), on);
    case "uploads":
      return inRepository(services, path, handlerOf("uploads", method), on);
    case "upload":
      return inRepository(services, path, handlerOf("upload", method), on);
    case "manifest":
      return inRepository(services, path, handlerOf("manifest", method), on);
    case "tags":
      return inRepository(services, path, handlerOf("tags", method), on);
    case "referrers":
      return inRepository(services, path, handlerOf("referrers", method), on);
  }
}

/**
 * The OCI distribution door, `/v2/` (OCI distribution 1.1 and what its main branch adds). Encapsulated: its errors have the OCI form,
 * whoever raises them, and no body is parsed or buffered before a handler asks for it.
 */
export function registerRegistryRoutes(app: FastifyInstance, context: RegistryContext): void {
  const pulls = new PullCounter(context.record);
  const leaseMs = context.leaseMs ?? LEASE_MS;
  const uploads = new Uploads({ ...context, leaseMs });
  const services: Services = {
    ...context,
    leaseMs,
    companions: (push) => context.companions(push),
    publicUrl: context.publicUrl.replace(/\/+$/, ""),
    now: context.now ?? Date.now,
    uploads,
    wholes: new WholeBlobs({ ...context, leaseMs, sessions: uploads }),
    manifests: new RecentManifests(context.blobs),
    referrerPages: new ReferrerPages(context.reader),
    settled: new SettledRecord(context.reader, context.record.stamp),
    pulls,
    gate: context.gate ?? CLOSED_GATE,
  };

  const serve = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const { path, query } = targetOf(request);
    note(request, { operation: operationName(path, request.method, query) });
    reply.header("docker-distribution-api-version", "registry/2.0");
    // Before anything about the path is told: an unknown caller learns nothing from it.
    const asker = await authenticated(services, request);
    switch (path.kind) {
      case "unknown":
        throw new OciError(404, "UNSUPPORTED", "there is nothing at this path");
      case "base":
        if (request.method !== "GET" && request.method !== "HEAD")
          throw methodNotAllowed(request.method, ["GET", "HEAD"]);
        return await reply.header("content-type", "application/json").send(Buffer.from("{}"));
      case "catalog":
        if (request.method !== "GET") throw methodNotAllowed(request.method, ["GET"]);
        return await catalog(services, { actor: asker.actor, query }, reply);
      default:
        return await dispatch(services, path, { request, reply, asker, query });
    }
  };

  const answerError = (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof BodyInterrupted) {
      request.log.info({ method: request.method }, error.message);
      return reply.code(400).send();
    }
    const problem = toOciError(error);
    if (problem.status >= 500 && retryAfter(error) === undefined) request.log.error({ err: error }, "request failed");
    lingerOver(request.raw);
    if (problem.status !== 401) return sendOciError(reply, problem);
    const insufficient = error instanceof Problem && error.code === "token-insufficient";
    const given = request.headers.authorization !== undefined;
    const why = insufficient ? "insufficient_scope" : given ? "invalid_token" : undefined;
    // What the client has to ask a token for.
    const { path, query } = targetOf(request);
    const scope = scopeOf(path, request.method, query);
    const headers = { "www-authenticate": challenge(services.publicUrl, scope, why).join(", ") };
    return sendOciError(reply, new OciError(401, problem.code, problem.message, { headers, cause: error }));
  };

  void app.register(
    async (door) => {
      door.removeAllContentTypeParsers();
      // Every body stays a stream, whatever it says it is.
      door.addContentTypeParser("*", (_request, _payload, done) => done(null));
      door.setErrorHandler(answerError);
      door.setNotFoundHandler((request, reply) =>
        answerError(new OciError(404, "UNSUPPORTED", "there is nothing at this path"), request, reply),
      );
      for (const url of ["/", "/*"]) {
        door.route({ method: METHODS, url, schema: { hide: true } as object, handler: serve });
      }
      const timer = setInterval(() => {
        pulls.flush().catch((error: unknown) => door.log.error({ err: error }, "pulls could not be counted"));
      }, PULLS_FLUSH_MS);
      timer.unref();
      door.addHook("onClose", async () => {
        clearInterval(timer);
        await pulls.flush();
      });
    },
    { prefix: "/v2" },
  );
}
