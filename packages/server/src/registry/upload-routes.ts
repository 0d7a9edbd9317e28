import type { IncomingMessage } from "node:http";
import type { FastifyReply } from "fastify";
import { authorize } from "../access/authorize.ts";
import { canonicalRepository } from "../access/names.ts";
import { Problem } from "../http/problem.ts";
import type { JsonObject } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { canonicalDigest, repositoriesHolding } from "./alias-queries.ts";
import { algorithmOf, type NamedDigest, readAlgorithm, readDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import {
  blobLocation,
  holdAwaited,
  type Exchange,
  type Handler,
  location,
  type RepositoryExchange,
  type Services,
} from "./exchange.ts";
import { contentLength, hasBody } from "./incoming.ts";
import { AT_HAND_BYTES } from "./limits.ts";
import { operationRefusal } from "./operation-shapes.ts";
import { noRoomForBlob } from "./quota-rule.ts";
import { parseContentRange, uploadRange } from "./range.ts";
import type { HeldSession, SessionKey } from "./uploads.ts";

function sessionKey(services: Services, exchange: Exchange<"upload">): SessionKey {
  const { actor, org, repository } = exchange;
  return { id: exchange.path.id, actor, org, repository, now: services.now() };
}

function uploadHeaders(
  services: Services,
  exchange: RepositoryExchange,
  id: string,
  offset: number,
): Record<string, string> {
  return {
    location: location(services, exchange, `blobs/uploads/${id}`),
    range: uploadRange(offset),
    "docker-upload-uuid": id,
  };
}

/** The answer to a chunk that does not begin where the upload stands: 416, and where it stands (end-5). */
function outOfOrder(services: Services, exchange: RepositoryExchange, session: HeldSession, message: string): OciError {
  return new OciError(416, "BLOB_UPLOAD_INVALID", message, {
    detail: { offset: session.offset },
    headers: uploadHeaders(services, exchange, session.id, session.offset),
  });
}

function created(services: Services, exchange: RepositoryExchange, digest: NamedDigest): FastifyReply {
  return exchange.reply.code(201).headers({
    location: blobLocation(services, exchange, digest),
    "docker-content-digest": digest,
  });
}

/** Bytes of a chunk from which on it is asked before they are read whether there is room for them. */
const ASKED_FROM = 8 * 1024 * 1024;

/**
 * Refuses early what there is no room for: when it is here the answer that counts is given.
 *
 * @param reader the settled one, as long as nothing but the database was waited for.
 * @param size bytes it will have at least.
 * @param digest where that is known already.
 * @throws Problem 403 `quota-exceeded`.
 */
async function requireRoom(
  services: Services,
  reader: Reader,
  exchange: RepositoryExchange,
  size: number,
  digest: NamedDigest | null = null,
): Promise<void> {
  const now = services.now();
  // What is held is known by its SHA-256: by another name it would seem to need room.
  const known = digest === null ? undefined : await canonicalDigest(reader, exchange.repository, digest, now);
  const full = await noRoomForBlob(reader, exchange, { digest: known ?? digest, size }, now);
  if (full !== undefined) throw Problem.fromRefusal(full);
}

/** Takes the request's body as the next chunk. */
async function receiveChunk(services: Services, exchange: Exchange<"upload">, session: HeldSession): Promise<void> {
  const request: IncomingMessage = exchange.request.raw;
  const header = exchange.request.headers["content-range"];
  let expected: number | undefined;
  if (header !== undefined) {
    const range = parseContentRange(header);
    if (range === "malformed") {
      throw new OciError(
        400,
        "BLOB_UPLOAD_INVALID",
        "Content-Range of a chunk is <first byte>-<last byte>, for example 0-1023",
      );
    }
    if (range.start !== session.offset) {
      const message = `the chunk begins at byte ${range.start}, but the upload stands at ${session.offset}`;
      throw outOfOrder(services, exchange, session, message);
    }
    expected = range.end - range.start;
    const length = contentLength(request);
    if (length !== undefined && length !== expected) {
      throw new OciError(400, "SIZE_INVALID", `Content-Range says ${expected} bytes, Content-Length ${length}`);
    }
  } else if (session.shrunk) {
    // A client that does not say where its chunk belongs would put it in the wrong place, or close an upload with a part missing.
    throw outOfOrder(
      services,
      exchange,
      session,
      `the upload stands at byte ${session.offset}: send from there, with Content-Range`,
    );
  }
  const length = contentLength(request) ?? 0;
  if (length >= ASKED_FROM) await requireRoom(services, services.reader, exchange, session.offset + length);
  if (hasBody(request) || expected !== undefined) await services.uploads.receive(session, request, expected);
}

/**
 * Mounts a blob from another repository, if the caller may pull there and it is there; otherwise the client has to upload it.
 *
 * @throws Problem 401 when it is only the token that does not reach there: another one helps, and clients fetch it.
 */
async function mount(
  services: Services,
  exchange: RepositoryExchange,
  digest: NamedDigest,
  from: string,
): Promise<boolean> {
  const source = canonicalRepository(from, services.defaultOrg);
  if (source === undefined) return false;
  const refusal = await authorize(services.reader, exchange.actor, "registry.pull", source);
  // Told to those only who may pull there, whatever is there.
  if (refusal?.code === "token-insufficient") throw Problem.fromRefusal(refusal);
  // "Not there" and "not yours" are one answer here too: 202, upload it.
  return refusal === undefined && (await take(services, exchange, digest, source));
}

/** Repositories asked for a blob that is to be mounted from wherever it is. */
const MOUNT_SOURCES = 100;

/**
 * Mounts a blob from some repository of the same organisation where the caller may pull. Where they may not it is as if it were not there:
 * the answer is the one for an unknown digest.
 */
async function mountFromAnywhere(
  services: Services,
  exchange: RepositoryExchange,
  digest: NamedDigest,
): Promise<boolean> {
  const { org, actor } = exchange;
  const page = { now: services.now(), limit: MOUNT_SOURCES };
  for (const repository of await repositoriesHolding(services.reader, org, digest, page)) {
    if ((await authorize(services.reader, actor, "registry.pull", { org, repository })) !== undefined) continue;
    if (await take(services, exchange, digest, { org, repository })) return true;
  }
  return false;
}

/** Links a blob of a repository that the caller may pull from. What that one's gate does not serve them is not there for them. */
async function take(
  services: Services,
  exchange: RepositoryExchange,
  digest: NamedDigest,
  source: { readonly org: string; readonly repository: string },
): Promise<boolean> {
  const { org, repository, actor } = exchange;
  const { leaseMs } = services;
  const canonical = await canonicalDigest(services.reader, source.repository, digest, services.now());
  if (canonical === undefined) return false;
  if ((await services.gate.blob({ ...source, actor }, canonical)) !== undefined) return false;
  const mount = { org, repository, from: source.repository, digest, leaseMs };
  const answer = await services.record.operate("registry.mount-blob", mount);
  const { mounted, awaited, refusal } = answer as { mounted: boolean; awaited?: boolean; refusal?: JsonObject };
  if (refusal !== undefined) throw Problem.fromRefusal(operationRefusal({ refusal }));
  if (awaited === true) await holdAwaited(services, exchange, digest);
  return mounted;
}

/** POST /v2/<name>/blobs/uploads/: opens a session (end-4a), takes a whole blob (end-4b), or mounts one (end-11). */
export const openUpload: Handler<"uploads"> = {
  action: "registry.push",
  async run(services, exchange) {
    const { query, actor, org, repository, reply } = exchange;
    const algorithm = readAlgorithm(query);
    const mounted = query.get("mount");
    if (mounted !== null) {
      const digest = readDigest(mounted);
      const from = query.get("from");
      if (
        await (from === null ? mountFromAnywhere(services, exchange, digest) : mount(services, exchange, digest, from))
      ) {
        return await created(services, exchange, digest).send();
      }
    } else {
      const whole = query.get("digest");
      if (whole !== null) {
        const digest = readDigest(whole);
        const request: IncomingMessage = exchange.request.raw;
        const length = contentLength(request);
        await requireRoom(services, exchange.settledAtStart, exchange, length ?? 1, digest);
        const owner = { actor, org, repository };
        const awaited =
          length !== undefined && length <= AT_HAND_BYTES
            ? await services.wholes.take(owner, request, { length, named: digest })
            : await services.uploads.once(owner, algorithmOf(digest), async (session) => {
                await services.uploads.receive(session, request, length);
                return await services.uploads.finish(session, digest);
              });
        if (awaited) await holdAwaited(services, exchange, digest);
        return await created(services, exchange, digest).send();
      }
    }
    await requireRoom(services, mounted === null ? exchange.settledAtStart : services.reader, exchange, 1);
    const id = await services.uploads.open({ actor, org, repository }, algorithm, services.now());
    return await reply
      .code(202)
      .headers(uploadHeaders(services, exchange, id, 0))
      .send();
  },
};

/** GET of an upload's location (end-13): how much of it is here. */
export const uploadStatus: Handler<"upload"> = {
  action: "registry.push",
  async run(services, exchange) {
    const offset = await services.uploads.status(sessionKey(services, exchange));
    return await exchange.reply
      .code(204)
      .headers(uploadHeaders(services, exchange, exchange.path.id, offset))
      .send();
  },
};

/** PATCH of an upload's location (end-5): the next chunk. */
export const patchUpload: Handler<"upload"> = {
  action: "registry.push",
  async run(services, exchange) {
    const offset = await services.uploads.hold(sessionKey(services, exchange), async (session) => {
      await receiveChunk(services, exchange, session);
      return session.offset;
    });
    return await exchange.reply
      .code(202)
      .headers(uploadHeaders(services, exchange, exchange.path.id, offset))
      .send();
  },
};

/** The common way of a small blob: all of it in the request that ends a session which was only opened. undefined: it is not this way. */
async function closeWhole(
  services: Services,
  exchange: Exchange<"upload">,
  named: NamedDigest,
): Promise<boolean | undefined> {
  const { request } = exchange;
  const length = contentLength(request.raw);
  if (length === undefined || length === 0 || request.headers["content-range"] !== undefined) return undefined;
  const key = sessionKey(services, exchange);
  if (!(await services.wholes.mayEnd(key, length))) return undefined;
  await requireRoom(services, exchange.settledAtStart, exchange, length, named);
  return await services.wholes.end(key, request.raw, { length, named });
}

/** PUT of an upload's location (end-6): an optional last chunk, and the digest of the whole. */
export const closeUpload: Handler<"upload"> = {
  action: "registry.push",
  async run(services, exchange) {
    const text = exchange.query.get("digest");
    if (text === null) throw new OciError(400, "DIGEST_INVALID", "say what the upload is: ?digest=sha256:…");
    const digest = readDigest(text);
    const awaited =
      (await closeWhole(services, exchange, digest)) ??
      (await services.uploads.hold(
        sessionKey(services, exchange),
        async (session) => {
          await receiveChunk(services, exchange, session);
          return await services.uploads.finish(session, digest);
        },
        algorithmOf(digest),
      ));
    if (awaited) await holdAwaited(services, exchange, digest);
    return await created(services, exchange, digest).send();
  },
};

/** DELETE of an upload's location (end-14). */
export const cancelUpload: Handler<"upload"> = {
  action: "registry.push",
  async run(services, exchange) {
    await services.uploads.hold(sessionKey(services, exchange), (session) => services.uploads.drop(session));
    return await exchange.reply.code(204).send();
  },
};
