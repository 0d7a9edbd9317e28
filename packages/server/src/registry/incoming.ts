import type { IncomingMessage } from "node:http";
import { OciError } from "./errors.ts";
import { IDLE_MS } from "./limits.ts";

/** Thrown when a request ended before its body did. What came of it may be kept. */
export class BodyInterrupted extends Error {
  override readonly name = "BodyInterrupted";
}

/**
 * The body of a request as it comes, at most `limit` bytes.
 *
 * The request is not destroyed when reading stops early, so that it can still be answered. A client that sends nothing for
 * {@link IDLE_MS} is cut off: a half-open connection must not hold an upload session for ever.
 *
 * @param mayGoOn asked before each piece is handed on; what it throws ends the body.
 * @throws OciError 413 `SIZE_INVALID` beyond `limit`; {@link BodyInterrupted} when the connection breaks.
 */
export async function* incoming(
  request: IncomingMessage,
  limit: number,
  mayGoOn: () => void = () => undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Only while it is the client who is waited for: where what came goes may take longer, and that is not the client's fault.
  const wait = (): NodeJS.Timeout =>
    setTimeout(() => {
      request.destroy(new BodyInterrupted(`nothing came for ${IDLE_MS / 1000} s`));
    }, IDLE_MS);
  let timer = wait();
  let received = 0;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      mayGoOn();
      received += chunk.length;
      if (received > limit) throw new OciError(413, "SIZE_INVALID", `the body is longer than ${limit} bytes`);
      yield chunk;
      timer = wait();
    }
    if (!request.complete) throw new BodyInterrupted("the connection closed before the end of the body");
  } catch (error) {
    if (error instanceof OciError || error instanceof BodyInterrupted) throw error;
    if (request.destroyed && !request.complete) {
      throw new BodyInterrupted("the connection closed before the end of the body", { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** A small body whole. @throws OciError 413 `SIZE_INVALID` beyond `limit`; {@link BodyInterrupted}. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const stated = contentLength(request);
  if (stated !== undefined && stated > limit) {
    throw new OciError(413, "SIZE_INVALID", `the body has ${stated} bytes, and at most ${limit} are taken`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of incoming(request, limit)) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** The Content-Length of a request, bytes; undefined when it has none. Node has refused malformed ones. */
export function contentLength(request: IncomingMessage): number | undefined {
  const header = request.headers["content-length"];
  return header === undefined ? undefined : Number(header);
}

/** Whether a request announces a body. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers["transfer-encoding"] !== undefined || (contentLength(request) ?? 0) > 0;
}

/** How long the rest of a refused body is read and thrown away, ms: a client that is still sending gets to read the answer. */
const LINGER_MS = 10_000;

/** Cuts a connection whose refused body does not end. */
export function lingerOver(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  request.resume();
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, LINGER_MS);
  timer.unref();
  request.once("close", () => clearTimeout(timer));
}
