import type { IncomingMessage } from "node:http";

/** A body must go on by this much, or end, within this time. */
const STALLED_MS = 60_000;
const LEAST_BYTES = 16 * 1024;

/**
 * Ends the connection of a request whose body does not get on: a client must not hold memory set aside for it by sending a byte now and
 * then. For bodies that are read as fast as they come; where reading may wait for a store, the reader keeps the time itself.
 */
export function endWhenStalled(request: IncomingMessage, stalledMs = STALLED_MS): void {
  let seen = request.socket.bytesRead;
  const timer = setInterval(() => {
    const read = request.socket.bytesRead;
    if (request.complete || request.destroyed) clearInterval(timer);
    else if (read - seen < LEAST_BYTES) request.socket.destroy();
    seen = read;
  }, stalledMs);
  timer.unref();
  request.once("close", () => clearInterval(timer));
}
