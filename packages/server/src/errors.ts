/**
 * The server's own errors: one class, stable codes that are never reused. A code names what happened; the message says why; the
 * hint says what to do. Each door turns them into its own wire form (`doors/`), so nothing below a route knows about HTTP bodies.
 */
export type ServerErrorCode =
  | "config-invalid"
  | "data-directory-busy"
  | "data-directory-unusable"
  | "database-not-durable"
  | "database-unusable"
  | "database-unavailable"
  | "database-busy"
  | "write-unconfirmed"
  | "receipt-unavailable"
  | "text-invalid"
  | "storage-failed"
  | "schema-too-new"
  | "upgrade-unfinished"
  | "upgrade-too-early"
  | "log-origin-changed"
  | "log-behind-checkpoint"
  | "log-inconsistent"
  | "log-conflict"
  | "witness-request-invalid"
  | "key-missing"
  | "key-unreadable"
  | "proof-self-check-failed"
  | "writer-stopped"
  | "writer-overloaded"
  | "command-unknown"
  | "command-invalid"
  | "event-unknown"
  | "event-invalid"
  | "event-too-large"
  | "redaction-invalid"
  | "operation-unknown"
  | "jobs-overloaded"
  | "disk-low"
  | "memory-low"
  | "artifacts-busy"
  | "connections-full"
  | "job-lease-lost"
  | "blob-unknown"
  | "blob-digest-mismatch"
  | "blob-too-large"
  | "blob-range-invalid"
  | "blobs-unavailable"
  | "blobs-refused"
  | "blobs-answer-invalid"
  | "check-failed"
  | "archive-damaged"
  | "archive-locked"
  | "backup-refused"
  | "restore-refused"
  | "restore-unfinished"
  | "succession-refused"
  | "egress-refused"
  | "egress-failed"
  | "issuer-unavailable"
  | "webhook-failed"
  | "upstream-failed"
  | "internal";

/** An error with a stable code, the cause, and what to do about it. */
export class ServerError extends Error {
  readonly code: ServerErrorCode;
  readonly hint: string | undefined;

  constructor(code: ServerErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ServerError";
    this.code = code;
    this.hint = options.hint;
  }
}
