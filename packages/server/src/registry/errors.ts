import { EvidenceError, type JsonValue } from "@assay/evidence";
import type { FastifyReply } from "fastify";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { Refusal } from "../record/command.ts";
import { translateDiskError } from "../storage/disk-errors.ts";

/** The codes of the OCI distribution specification 1.1, "Error Codes", and `UNKNOWN` for failures of the server itself. */
export type OciCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "UNKNOWN";

/** What a request to `/v2/` is answered with when it cannot be done. */
export class OciError extends Error {
  override readonly name = "OciError";
  readonly status: number;
  readonly code: OciCode;
  readonly detail: JsonValue | undefined;
  /** Extra answer headers, lower-case names. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: OciCode,
    message: string,
    options: { detail?: JsonValue; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.code = code;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }
}

/** The body of an answer that is an error (OCI distribution 1.1, "Error Codes"). */
export function ociErrorBody(error: OciError): string {
  return JSON.stringify({
    errors: [
      { code: error.code, message: error.message, ...(error.detail === undefined ? {} : { detail: error.detail }) },
    ],
  });
}

/** Answers with an error in this door's form. */
export function sendOciError(reply: FastifyReply, error: OciError): FastifyReply {
  return reply
    .code(error.status)
    .headers({ ...error.headers, "content-type": "application/json" })
    .send(Buffer.from(ociErrorBody(error)));
}

/**
 * Answers what the HTTP framework refused before any route of this door was found (a path that is no valid percent-encoding). The
 * application's `frameworkErrors` calls it for paths under `/v2`, which no plugin can do for itself.
 */
export function answerFrameworkError(error: unknown, reply: FastifyReply): void {
  void sendOciError(reply, toOciError(error));
}

/** Refusals of the record whose OCI code their status alone does not give. */
const REFUSAL_CODES: ReadonlyMap<string, OciCode> = new Map<string, OciCode>([
  ["org-unknown", "NAME_UNKNOWN"],
  ["manifest-blob-unknown", "MANIFEST_BLOB_UNKNOWN"],
  ["manifest-unknown", "MANIFEST_UNKNOWN"],
  ["manifest-invalid", "MANIFEST_INVALID"],
  ["tag-immutable", "DENIED"],
]);

/** The OCI code nearest to a status, for errors that were not made with one. */
function codeOfStatus(status: number): OciCode {
  switch (status) {
    case 401:
      return "UNAUTHORIZED";
    case 403:
    case 409:
      return "DENIED";
    case 404:
      return "NAME_UNKNOWN";
    case 413:
      return "SIZE_INVALID";
    case 429:
    case 503:
      return "TOOMANYREQUESTS";
    default:
      return status >= 500 ? "UNKNOWN" : "UNSUPPORTED";
  }
}

function sentence(message: string, hint: string | undefined): string {
  return hint === undefined ? message : `${message}: ${hint}`;
}

/** A refused command or authorisation in the OCI form. */
export function ofRefusal(refusal: Refusal): OciError {
  return new OciError(
    refusal.status,
    REFUSAL_CODES.get(refusal.code) ?? codeOfStatus(refusal.status),
    sentence(refusal.message, refusal.hint),
    refusal.detail === undefined ? {} : { detail: refusal.detail },
  );
}

function ofServerError(error: ServerError): OciError {
  const seconds = retryAfter(error);
  if (seconds !== undefined) {
    return new OciError(503, "TOOMANYREQUESTS", sentence(error.message, error.hint), {
      headers: { "retry-after": String(seconds) },
      cause: error,
    });
  }
  switch (error.code) {
    case "writer-overloaded":
    case "writer-stopped":
    case "database-unavailable":
    case "database-busy":
    case "write-unconfirmed":
    case "receipt-unavailable":
    case "blobs-unavailable":
    case "storage-failed":
      return new OciError(503, "TOOMANYREQUESTS", sentence(error.message, error.hint ?? "try again in a moment"), {
        headers: { "retry-after": "1" },
        cause: error,
      });
    case "log-behind-checkpoint":
      return new OciError(503, "DENIED", sentence(error.message, error.hint), { cause: error });
    case "blob-too-large":
      return new OciError(413, "SIZE_INVALID", error.message, { cause: error });
    case "blob-digest-mismatch":
      return new OciError(500, "BLOB_UPLOAD_INVALID", sentence(error.message, error.hint), { cause: error });
    case "blob-unknown":
      return new OciError(404, "BLOB_UNKNOWN", error.message, { cause: error });
    default:
      return internal(error);
  }
}

function internal(cause: unknown): OciError {
  return new OciError(500, "UNKNOWN", "the server could not do this; its log says why", { cause });
}

/** Any error as one of this door; errors nobody foresaw reveal nothing. */
export function toOciError(thrown: unknown): OciError {
  const error = translateDiskError(thrown);
  if (error instanceof OciError) return error;
  if (error instanceof Problem) {
    return new OciError(
      error.status,
      REFUSAL_CODES.get(error.code) ?? codeOfStatus(error.status),
      sentence(error.message, error.hint),
      { headers: error.headers, cause: error, ...(error.detail === undefined ? {} : { detail: error.detail }) },
    );
  }
  if (error instanceof ServerError) return ofServerError(error);
  if (error instanceof EvidenceError) return internal(error);
  if (error instanceof Error && "statusCode" in error && typeof error.statusCode === "number") {
    // The HTTP framework's own: bad content type, body too large, unknown route.
    const status = error.statusCode;
    if (status >= 400 && status < 500)
      return new OciError(status, codeOfStatus(status), error.message, { cause: error });
  }
  return internal(error);
}
