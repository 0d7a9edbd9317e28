import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
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

/**
 * Hands over the body of a request piece by piece, in the very events it comes in: for who only looks at each piece, or copies it. Where a piece
 * has to wait for something, {@link incoming} holds the client back.
 *
 * As there, the request is not destroyed when `take` throws, which ends it, and a client that sends nothing for {@link IDLE_MS} is cut off.
 *
 * @throws {@link BodyInterrupted} when the connection breaks; what `take` throws.
 */
export function takeBody(request: IncomingMessage, take: (piece: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      request.destroy(new BodyInterrupted(`nothing came for ${IDLE_MS / 1000} s`));
    }, IDLE_MS);
    const over = (): void => {
      clearTimeout(timer);
      request.off("data", onData).off("end", onEnd).off("error", onBroken).off("close", onBroken);
    };
    const onData = (piece: Buffer): void => {
      timer.refresh();
      try {
        take(piece);
      } catch (error) {
        over();
        request.pause();
        reject(error);
      }
    };
    const onBroken = (cause?: Error): void => {
      over();
      if (cause instanceof BodyInterrupted) return reject(cause);
      reject(new BodyInterrupted("the connection closed before the end of the body", { cause }));
    };
    const onEnd = (): void => {
      if (!request.complete) return onBroken();
      over();
      resolve();
    };
    request.on("end", onEnd).on("error", onBroken).on("close", onBroken).on("data", onData);
    // Nothing is told any more of what ended before it was listened to.
    if (request.destroyed) onBroken();
  });
}

/**
 * Gives the memory of a piece of a body back at once. The garbage collector would too, but until it comes round a busy server has hundreds of
 * megabytes of them, and coming round often costs more than handling the bytes.
 *
 * Only what a connection brought is the server's own to give back, and only a piece that shares its memory with nothing. The piece is empty
 * after this.
 */
export function giveBack(request: IncomingMessage, { buffer, byteLength }: Uint8Array): void {
  if (!(request.socket instanceof Socket) || !(buffer instanceof ArrayBuffer)) return;
  if (byteLength === buffer.byteLength) buffer.transfer(0);
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
