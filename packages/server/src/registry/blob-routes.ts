import type { ServerResponse } from "node:http";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Digest } from "@assay/evidence";
import { authorize } from "../access/authorize.ts";
import type { ByteRange } from "../storage/blobs.ts";
import { ServerError } from "../errors.ts";
import { canonicalDigest } from "./alias-queries.ts";
import { type NamedDigest, readDigest } from "./digest.ts";
import { OciError } from "./errors.ts";
import {
  alreadyHas,
  cachingOf,
  type Exchange,
  type Handler,
  holdAwaited,
  type RepositoryExchange,
  type Services,
  storedBytesHeaders,
} from "./exchange.ts";
import { LENT_FROM, LENT_S } from "./limits.ts";
import { requireServed } from "./pull-gate.ts";
import { findBlob, isAwaited, type VisibleBlob } from "./queries.ts";
import { parseRange } from "./range.ts";

function blobUnknown(exchange: Exchange<"blob">, named: NamedDigest): OciError {
  return new OciError(404, "BLOB_UNKNOWN", `${exchange.repository} has no blob ${named}`, {
    detail: { digest: named },
  });
}

/** A blob that is to be seen: as the client names it, and as it is called here. */
interface Seen {
  readonly named: NamedDigest;
  readonly digest: Digest;
  readonly blob: VisibleBlob;
}

async function lookFor(services: Services, repository: string, named: NamedDigest): Promise<Seen | undefined> {
  const { reader, now } = services;
  const digest = await canonicalDigest(reader, repository, named, now());
  const blob = digest && (await findBlob(reader, repository, digest, now()));
  return digest === undefined || blob === undefined ? undefined : { named, digest, blob };
}

/** Has a blob brought from where the repository gets what it does not have. Nothing goes over the connection meanwhile, and it stays open. */
async function bring(services: Services, exchange: Exchange<"blob">, named: NamedDigest): Promise<void> {
  const { org, repository, request } = exchange;
  const { socket } = request.raw;
  const timeout = socket.timeout ?? 0;
  socket.setTimeout(0);
  try {
    await services.through?.blob({ org, repository }, named);
  } finally {
    socket.setTimeout(timeout);
  }
}

async function visible(services: Services, exchange: Exchange<"blob">): Promise<Seen> {
  const named = readDigest(exchange.path.digest);
  const { repository } = exchange;
  const here = await lookFor(services, repository, named);
  if (here !== undefined) return here;
  await bring(services, exchange, named);
  const brought = services.through && (await lookFor(services, repository, named));
  if (brought === undefined) throw blobUnknown(exchange, named);
  return brought;
}

/**
 * HEAD is how clients ask whether they need to push. For somebody who may push, "it is here" must stay true until their manifest
 * comes: the lease is begun, or renewed in its second half.
 */
async function renew(services: Services, exchange: Exchange<"blob">, { named, digest, blob }: Seen): Promise<void> {
  const { org, repository } = exchange;
  const lasts = blob.leaseEnds !== undefined && blob.leaseEnds - services.now() > services.leaseMs / 2;
  // It came, and the process ended before that was on record.
  const awaited =
    blob.leaseEnds !== undefined && (await isAwaited(services.reader, repository, [digest, named], blob.size));
  if (lasts && !awaited) return;
  if ((await authorize(services.reader, exchange.actor, "registry.push", { org, repository })) !== undefined) return;
  if (awaited) await holdAwaited(services, exchange, named);
  const lease = { org, repository, digest, leaseMs: services.leaseMs };
  const { visible: still } = (await services.record.operate("registry.renew-lease", lease)) as { visible: boolean };
  // It went between the look and this: whoever heard 200 would not bring it again.
  if (!still) throw blobUnknown(exchange, named);
}

function blobHeaders(named: NamedDigest, caching: string): Record<string, string> {
  const own = { "accept-ranges": "bytes", "content-type": "application/octet-stream" };
  return { ...storedBytesHeaders(named, caching), ...own };
}

/** HEAD /v2/<name>/blobs/<digest> (end-2). */
export const headBlob: Handler<"blob"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { request, reply } = exchange;
    const seen = await visible(services, exchange);
    const { named, digest, blob } = seen;
    await requireServed(services.gate, "blob", exchange, digest);
    await renew(services, exchange, seen);
    reply.headers(blobHeaders(named, await cachingOf(services, exchange)));
    if (alreadyHas(request, named)) return await reply.code(304).send();
    return await reply.header("content-length", String(blob.size)).send();
  },
};

/** Whether a request asks for the whole and nothing else: another server knows neither our ETag nor what a client has of the blob. */
function isPlain({ headers }: FastifyRequest): boolean {
  return headers.range === undefined && headers["if-range"] === undefined;
}

/** GET /v2/<name>/blobs/<digest> (end-2), whole or one range. */
export const getBlob: Handler<"blob"> = {
  action: "registry.pull",
  async run(services, exchange) {
    const { request, reply } = exchange;
    const { named, digest, blob } = await visible(services, exchange);
    await requireServed(services.gate, "blob", exchange, digest);
    const headers = blobHeaders(named, await cachingOf(services, exchange));
    if (alreadyHas(request, named)) return await reply.code(304).headers(headers).send();
    if (services.blobRedirects === true && isPlain(request) && blob.size >= LENT_FROM) {
      const url = await services.blobs.lend?.(digest, LENT_S);
      // Whoever has the URL has the bytes until it ends: no cache keeps it, and no page it leads to hears of it.
      const around = { "docker-content-digest": named, "cache-control": "no-store", "referrer-policy": "no-referrer" };
      if (url !== undefined)
        return await reply
          .code(307)
          .headers({ ...around, location: url })
          .send();
    }
    // If-Range with another validator asks for the whole (RFC 9110 §13.1.5).
    const ifRange = request.headers["if-range"];
    const wanted = ifRange === undefined || ifRange === `"${named}"` ? request.headers.range : undefined;
    const range = parseRange(wanted, blob.size);
    switch (range.kind) {
      case "unsatisfiable":
        throw new OciError(416, "SIZE_INVALID", `the blob has ${blob.size} bytes: the range asked for is not in it`, {
          headers: { "content-range": `bytes */${blob.size}` },
        });
      case "part": {
        const { start, end } = range.range;
        headers["content-range"] = `bytes ${start}-${end - 1}/${blob.size}`;
        headers["content-length"] = String(end - start);
        return await stream(services, exchange, { digest, status: 206, headers, range: range.range });
      }
      case "whole":
        headers["content-length"] = String(blob.size);
        return await stream(services, exchange, { digest, status: 200, headers, range: { start: 0, end: blob.size } });
    }
  },
};

/** The client went away in the middle of a pull: no failure of the server. */
class ClientLeft extends Error {}

/**
 * Writes to a response; each piece's promise resolves when the socket is done with its memory. It rejects with ClientLeft.
 *
 * @param last ends the response.
 */
function writerTo(response: ServerResponse): (piece: Uint8Array, last: boolean) => Promise<void> {
  // A connection that closes under a piece may never call back for it.
  let giveUp: ((error: Error) => void) | undefined;
  response.once("close", () => giveUp?.(new ClientLeft("the connection closed before the end of the blob")));
  return (piece, last) =>
    new Promise<void>((resolve, reject) => {
      giveUp = reject;
      const done = (cause?: Error | null): void => {
        giveUp = undefined;
        if (cause === null || cause === undefined) resolve();
        else reject(new ClientLeft(cause.message, { cause }));
      };
      if (response.destroyed) reject(new ClientLeft("the connection is closed"));
      else if (last) response.end(piece, () => done());
      else response.write(piece, done);
    });
}

/** Waits until the answers to requests sent before this one on the same connection are out: until then nothing is worth holding. */
async function ourTurn(response: ServerResponse): Promise<void> {
  if (response.socket !== null || response.destroyed) return;
  await new Promise<void>((resolve) => {
    response.once("socket", () => resolve());
    response.once("close", resolve);
  });
}

/**
 * Sends a blob past the framework: one copy from file to socket, never more than two reads in memory. What is sent is exactly the range
 * that Content-Length promised, whatever the store holds: more would be read as the next answer on the connection, and after less the
 * client would wait for the rest.
 */
async function stream(
  services: Services,
  { request, reply }: RepositoryExchange,
  answer: { digest: Digest; status: number; headers: Record<string, string>; range: ByteRange },
): Promise<FastifyReply> {
  await ourTurn(reply.raw);
  const source = await services.blobs.open(answer.digest, answer.range);
  reply.hijack();
  try {
    const headers: Record<string, number | string | string[]> = { ...answer.headers };
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) headers[name] ??= value;
    }
    reply.raw.writeHead(answer.status, headers);
    const write = writerTo(reply.raw);
    let missing = answer.range.end - answer.range.start;
    await source.send(async (piece) => {
      if (piece.length === 0) return;
      missing -= piece.length;
      // Nothing goes out after what was promised.
      if (missing < 0) throw new ServerError("internal", "the store sent more of the blob than it was asked for");
      await write(piece, missing === 0);
    });
    if (missing !== 0) throw new ServerError("internal", `the store ended the blob ${missing} bytes early`);
    if (!reply.raw.writableEnded) reply.raw.end();
  } catch (error) {
    // The status is sent: all that can be done is to break off.
    reply.raw.destroy();
    if (error instanceof ClientLeft) {
      request.log.debug({ digest: answer.digest }, "a pull was broken off");
    } else {
      request.log.error({ err: error, digest: answer.digest }, "a blob could not be sent whole");
    }
  } finally {
    // However it ended: Node ends the process over a file that is left open.
    await source.close();
  }
  return reply;
}

/**
 * DELETE /v2/<name>/blobs/<digest> (end-10): the blob is gone from this repository at once, whoever else holds it. What a manifest
 * of the repository needs is not deleted; the bytes themselves are garbage collection's matter.
 */
export const deleteBlob: Handler<"blob"> = {
  action: "registry.delete",
  async run(services, exchange) {
    const named = readDigest(exchange.path.digest);
    const digest = await canonicalDigest(services.reader, exchange.repository, named, services.now());
    if (digest === undefined) throw blobUnknown(exchange, named);
    const answer = await services.record.operate("registry.release-blob", { repository: exchange.repository, digest });
    const { state, manifests } = answer as { state: "released" | "unknown" | "needed"; manifests?: string[] };
    switch (state) {
      case "released":
        return await exchange.reply.code(202).send();
      case "unknown":
        throw blobUnknown(exchange, named);
      case "needed":
        throw new OciError(
          405,
          "UNSUPPORTED",
          "a manifest of this repository needs this blob: delete the manifest first",
          {
            detail: { manifests: manifests ?? [] },
            headers: { allow: "GET, HEAD" },
          },
        );
    }
  },
};
