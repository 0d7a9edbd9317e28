import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";

/** What hears of requests that could not be read. */
export interface UnreadableLog {
  info(detail: object, message: string): void;
}

/** Why a request could not be read, as metrics and log name it, and what it is answered. */
const REASONS: Readonly<Record<string, { readonly reason: string; readonly status: number }>> = {
  HPE_HEADER_OVERFLOW: { reason: "headers-too-large", status: 431 },
  ERR_HTTP_REQUEST_TIMEOUT: { reason: "headers-too-slow", status: 408 },
};
const MALFORMED = { reason: "request-malformed", status: 400 };

/** How long a client has to read the answer, ms. What it still sends meanwhile is thrown away. */
const LINGER_MS = 1_000;

/** Of each reason at most one line in this time, ms, with how many there were: a flood of them is no flood of the log. */
const QUIET_MS = 60_000;

/**
 * What becomes of bytes on a connection that are no request: headers beyond 16 KiB, headers that take longer than a minute, anything that is
 * no HTTP. Each is answered if it can be, its connection ends, and it is counted and told of.
 */
export class UnreadableRequests {
  readonly #log: UnreadableLog;
  readonly #count: (reason: string) => void;
  readonly #now: () => number;
  readonly #ending = new WeakSet<Socket>();
  readonly #told = new Map<string, { at: number; since: number }>();

  constructor(log: UnreadableLog, count: (reason: string) => void, now: () => number = Date.now) {
    this.#log = log;
    this.#count = count;
    this.#now = now;
  }

  /** Ends a connection that nothing can be read from. */
  end(error: Error & { readonly code?: string }, socket: Socket): void {
    // It ended by itself, or is about to.
    if (error.code === "ECONNRESET" || socket.destroyed || this.#ending.has(socket)) return;
    const known = error.code !== undefined && Object.hasOwn(REASONS, error.code) ? REASONS[error.code] : undefined;
    const { reason, status } = known ?? MALFORMED;
    this.#count(reason);
    this.#tell(reason, socket.remoteAddress);
    this.#ending.add(socket);
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    // Cut at once, with bytes of the client unread, it would never see the answer.
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  #tell(reason: string, from: string | undefined): void {
    const now = this.#now();
    const told = this.#told.get(reason) ?? { at: -Infinity, since: 0 };
    told.since += 1;
    this.#told.set(reason, told);
    if (now - told.at < QUIET_MS) return;
    this.#log.info({ reason, count: told.since, from }, "a connection was ended: what came was no request");
    told.at = now;
    told.since = 0;
  }
}
