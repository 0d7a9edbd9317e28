import { ServerError, type ServerErrorCode } from "../errors.ts";

/** What a server says that cannot take more just now, and when it is worth asking again, seconds. */
const RETRY_AFTER: Partial<Readonly<Record<ServerErrorCode, number>>> = {
  "disk-low": 30,
  "memory-low": 2,
  "artifacts-busy": 2,
  "connections-full": 2,
  "jobs-overloaded": 30,
};

/**
 * Whether an error says no more than that the server is full: answered 503 by every door, and not a failure, so that a flood of them
 * writes no flood of log lines.
 *
 * @returns seconds for Retry-After; undefined for every other error.
 */
export function retryAfter(error: unknown): number | undefined {
  return error instanceof ServerError ? RETRY_AFTER[error.code] : undefined;
}
