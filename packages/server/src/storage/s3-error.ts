import { ServerError, type ServerErrorCode } from "../errors.ts";

/** S3's own error codes for "not now": the same request may succeed later. */
const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  "SlowDown",
  "ServiceUnavailable",
  "InternalError",
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "OperationAborted",
  "ConditionalRequestConflict",
  "TooManyRequests",
  "Busy",
  // The bytes at hand are right; what arrived was not.
  "BadDigest",
  "XAmzContentSHA256Mismatch",
  "IncompleteBody",
]);

/** An answer of the S3 server that is an error, or no answer at all. */
export class S3Error extends ServerError {
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** S3's error code (`NoSuchKey`, `SlowDown`), or the network's (`ECONNRESET`); "" when there is none. */
  readonly s3Code: string;
  /** Whether the same request may succeed later. */
  readonly transient: boolean;

  constructor(
    code: ServerErrorCode,
    message: string,
    options: { status: number; s3Code: string; transient: boolean; cause?: unknown; hint?: string },
  ) {
    super(code, message, options);
    this.name = "S3Error";
    this.status = options.status;
    this.s3Code = options.s3Code;
    this.transient = options.transient;
  }
}

/** What to do about an error that retrying does not mend. */
function hintOf(status: number, s3Code: string): string {
  switch (s3Code) {
    case "NoSuchBucket":
      return "make the bucket, or name another in ASSAY_BLOBS_URL";
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "InvalidToken":
    case "ExpiredToken":
      return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or ASSAY_BLOBS_ACCESS_KEY and ASSAY_BLOBS_SECRET_KEY)";
    case "AuthorizationHeaderMalformed":
    case "PermanentRedirect":
      return "the bucket is in another region or behind another endpoint: set region= and endpoint= in ASSAY_BLOBS_URL";
    case "AccessDenied":
      return "the credentials need s3:GetObject, PutObject, DeleteObject, ListBucket and AbortMultipartUpload on the prefix";
    default:
      if (status >= 300 && status < 400)
        return "set region= and endpoint= in ASSAY_BLOBS_URL: the server sends elsewhere";
      if (status === 401 || status === 403) return "check the credentials and what they may do on the bucket's prefix";
      return "see the S3 server's log";
  }
}

/** An error answer, as S3 words it (S3 API reference, "Error responses"). */
export function errorAnswer(
  operation: string,
  status: number,
  body: { readonly code: string; readonly message: string },
): S3Error {
  const transient = status === 429 || status === 408 || status >= 500 || TRANSIENT_CODES.has(body.code);
  // 501 and 505 say "never".
  const never = status === 501 || status === 505;
  const text = [String(status), body.code, body.message.slice(0, 200)].filter((part) => part !== "").join(" ");
  return new S3Error(
    transient && !never ? "blobs-unavailable" : "blobs-refused",
    `S3 answered ${operation} with ${text}`,
    {
      status,
      s3Code: body.code,
      transient: transient && !never,
      hint: transient && !never ? "the S3 server is overloaded or failing: try again later" : hintOf(status, body.code),
    },
  );
}

/** A request that got no answer, or not a whole one. */
export function noAnswer(operation: string, cause: unknown): S3Error {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  // A name that cannot be resolved or a certificate that does not hold may heal, too: a resolver restarts, a clock is set.
  const why = cause instanceof Error ? cause.message : String(cause);
  return new S3Error(
    "blobs-unavailable",
    `S3 gave no whole answer to ${operation}: ${code === "" ? why : `${code} ${why}`}`,
    {
      status: 0,
      s3Code: code,
      transient: true,
      cause,
      hint: "check that the endpoint in ASSAY_BLOBS_URL is up and can be reached from here",
    },
  );
}

/** An answer that is not what the S3 API says. It is not believed. */
export function badAnswer(operation: string, problem: string, cause?: unknown): S3Error {
  return new S3Error("blobs-answer-invalid", `S3's answer to ${operation} is not one: ${problem}`, {
    status: 200,
    s3Code: "",
    transient: false,
    cause,
    hint: "check that the endpoint in ASSAY_BLOBS_URL is an S3 server, and its version",
  });
}
