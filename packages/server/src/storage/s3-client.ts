import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { AwsV4Signer } from "aws4fetch";
import { Agent, type Dispatcher } from "undici";
import type { ByteRange } from "./blobs.ts";
import { badAnswer, errorAnswer, noAnswer, S3Error } from "./s3-error.ts";
import type { S3Location } from "./s3-location.ts";
import { DEFAULT_RETRY, type RetryPolicy, retryAfterMs, retrying } from "./s3-retry.ts";
import { child, escapeXml, parseXml, requiredText, textOf, type XmlElement } from "./s3-xml.ts";

/** Connections to the server at once, per process. */
const CONNECTIONS = 64;

const CONNECT_MS = 5_000;
/** How long an answer may take to begin, and how long a body may stand still. */
const HEADERS_MS = 30_000;
const BODY_MS = 30_000;
/** What moves many bytes on the server itself may take longer to begin. */
const SERVER_SIDE_MS = 300_000;

const MAX_ERROR_BYTES = 64 * 1024;
const MAX_XML_BYTES = 8 * 1024 * 1024;

const EMPTY_SHA256 = createHash("sha256").digest("hex");
const NOTHING = new Uint8Array(0);

/** How long parts of a request may take, and how it is retried. */
export interface S3ClientOptions {
  readonly retry?: RetryPolicy;
  readonly headersMs?: number;
  readonly bodyMs?: number;
}

export interface S3Object {
  readonly key: string;
  readonly size: number;
  /** When it was stored, by the server's clock, ms since the epoch; NaN when the server does not say. */
  readonly modified: number;
}

/** A part of a multipart upload, as `complete` names it. */
export interface S3Part {
  readonly number: number;
  readonly etag: string;
  /** SHA-256 of the part's bytes, base64. */
  readonly sha256: string;
}

interface Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** Within the bucket, prefix included; "" for the bucket itself. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly bytes: Uint8Array; readonly sha256: string };
  readonly headersMs?: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData["headers"];
  readonly body: Dispatcher.ResponseData["body"];
}

function header(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return typeof value === "string" ? value : undefined;
}

function hexToBase64(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}

/** SHA-256 as S3 compares and names it. */
export function sha256Hex(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A number that a header must hold. */
function length(operation: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,15}$/.test(text))
    throw badAnswer(operation, `its length is ${text ?? "not given"}`);
  return Number(text);
}

/**
 * The part of the S3 API that blobs need: signed by aws4fetch, sent by undici. Bodies of requests are bytes at hand, so that every
 * request can be sent again; the payload's SHA-256 is in the signature and, where something is stored, in `x-amz-checksum-sha256`.
 *
 * Every method throws S3Error: `blobs-unavailable` when retrying did not help, `blobs-refused` when it would not,
 * `blobs-answer-invalid` when the answer is not what the S3 API says.
 */
export class S3Client {
  readonly #location: S3Location;
  readonly #agent: Agent;
  /** How requests are retried; whoever reads a body goes on by the same rule. */
  readonly retry: RetryPolicy;
  readonly #headersMs: number;
  readonly #bodyMs: number;
  /** Signing keys by day. */
  readonly #signingKeys = new Map<string, ArrayBuffer>();
  #closing: Promise<void> | undefined;

  constructor(location: S3Location, options: S3ClientOptions = {}) {
    this.#location = location;
    this.retry = options.retry ?? DEFAULT_RETRY;
    this.#headersMs = options.headersMs ?? HEADERS_MS;
    this.#bodyMs = options.bodyMs ?? BODY_MS;
    this.#agent = new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      connect: { timeout: CONNECT_MS },
      keepAliveTimeout: 10_000,
      keepAliveMaxTimeout: 60_000,
    });
  }

  /** Ends idle connections at once, and those in use when they are done. Harmless when called again. */
  close(): Promise<void> {
    this.#closing ??= this.#agent.close();
    return this.#closing;
  }

  /** The size of an object; undefined when it is not there. */
  async size(key: string): Promise<number | undefined> {
    const request: Request = { method: "HEAD", key };
    return await this.#unless404(async () => {
      const answer = await this.#send(request, async (found) => found);
      answer.body.resume();
      return length(`HEAD ${key}`, header(answer, "content-length"));
    });
  }

  /**
   * Begins to read an object, or a part of it. The body is not retried here: whoever reads knows where to go on.
   *
   * @returns the body, of at least the bytes asked for, and the whole object's size; undefined when it is not there.
   */
  async read(key: string, range?: ByteRange): Promise<{ body: Readable; size: number } | undefined> {
    const operation = `GET ${key}`;
    const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end - 1}` };
    return await this.#unless404(async () => {
      const answer = await this.#send({ method: "GET", key, headers }, async (found) => found);
      try {
        if (range === undefined) {
          if (answer.status !== 200) throw badAnswer(operation, `its status is ${answer.status}`);
          return { body: answer.body, size: length(operation, header(answer, "content-length")) };
        }
        const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header(answer, "content-range") ?? "");
        const [start, last, size] = [Number(match?.[1]), Number(match?.[2]), Number(match?.[3])];
        // A server may send more than was asked for (RFC 9110 §14.2); what is missing at the end is not there.
        if (answer.status !== 206 || start !== range.start || last < Math.min(range.end, size) - 1) {
          throw badAnswer(operation, `status ${answer.status}, Content-Range ${header(answer, "content-range")}`);
        }
        return { body: answer.body, size };
      } catch (error) {
        answer.body.destroy();
        throw error;
      }
    });
  }

  /** A small object whole; undefined when it is not there. @throws S3Error `blobs-answer-invalid` above `maxBytes`. */
  async bytes(key: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return await this.#unless404(() =>
      this.#send({ method: "GET", key }, async (answer) => {
        const expected = length(`GET ${key}`, header(answer, "content-length"));
        if (expected > maxBytes) {
          answer.body.destroy();
          throw badAnswer(`GET ${key}`, `it is longer than ${maxBytes} bytes`);
        }
        return await this.#fill(`GET ${key}`, answer, expected);
      }),
    );
  }

  /**
   * A URL by which anybody may GET this object, as it is answered with `overrides`, until `seconds` from now (S3 API, "Authenticating
   * requests: using query parameters"). Key, method, overrides and end are signed: none can be changed. Asks nothing of the server.
   */
  async lend(key: string, seconds: number, overrides: Readonly<Record<string, string>>): Promise<string> {
    const query = { ...overrides, "X-Amz-Expires": String(seconds) };
    const { url } = await this.#signer({ method: "GET", key, query }, true).sign();
    return url.href;
  }

  /**
   * Stores an object; durable when it resolves.
   *
   * @param createOnly `If-None-Match: *`: an object already there stays.
   * @returns `exists` when it was not stored for that reason: perhaps by an earlier attempt of this very call.
   */
  async put(
    key: string,
    bytes: Uint8Array,
    options: { readonly sha256: string; readonly createOnly?: boolean; readonly checksum?: string },
  ): Promise<"stored" | "exists"> {
    const headers = {
      "x-amz-checksum-sha256": options.checksum ?? hexToBase64(options.sha256),
      ...(options.createOnly === true ? { "if-none-match": "*" } : {}),
    };
    const body = { bytes, sha256: options.sha256 };
    return await this.#unless412(() => this.#finished({ method: "PUT", key, headers, body }), "stored");
  }

  /** Removes an object; fine when it is not there. */
  async delete(key: string): Promise<void> {
    await this.#unless404(() => this.#finished({ method: "DELETE", key }));
  }

  /** Objects whose keys begin with `prefix` and come after `after`, in byte order of the keys. `pageSize` is in keys per request. */
  async *list(
    prefix: string,
    { pageSize = 1000, after: from = "" }: { readonly pageSize?: number; readonly after?: string | undefined } = {},
  ): AsyncGenerator<S3Object, void, undefined> {
    let after = from;
    for (;;) {
      const query = {
        "list-type": "2",
        prefix,
        "max-keys": String(pageSize),
        ...(after === "" ? {} : { "start-after": after }),
      };
      const page = await this.#xml({ method: "GET", key: "", query }, "ListBucketResult", (root) => ({
        truncated: textOf(root, "IsTruncated") === "true",
        objects: root.children
          .filter((element) => element.name === "Contents")
          .map((element) => ({
            key: requiredText(element, "Key"),
            size: Number(requiredText(element, "Size")),
            modified: Date.parse(textOf(element, "LastModified") ?? ""),
          })),
      }));
      for (const object of page.objects) {
        // Order is what makes paging and "every digest in order" right: it is checked, not assumed.
        if (object.key <= after || !object.key.startsWith(prefix) || !Number.isSafeInteger(object.size)) {
          throw badAnswer(`LIST ${prefix}`, `the key ${JSON.stringify(object.key.slice(0, 200))} is out of place`);
        }
        after = object.key;
        yield object;
      }
      if (!page.truncated) return;
      if (page.objects.length === 0) throw badAnswer(`LIST ${prefix}`, "a page without keys says more will come");
    }
  }

  /** Begins a multipart upload whose parts carry SHA-256 checksums. Nothing shows under `key` until it is completed. */
  async createMultipart(key: string): Promise<string> {
    return await this.#xml(
      {
        method: "POST",
        key,
        query: { uploads: "" },
        headers: { "x-amz-checksum-algorithm": "SHA256", "content-type": "application/octet-stream" },
      },
      "InitiateMultipartUploadResult",
      (root) => requiredText(root, "UploadId"),
    );
  }

  async uploadPart(
    key: string,
    uploadId: string,
    number: number,
    body: { readonly bytes: Uint8Array; readonly sha256: string },
  ): Promise<S3Part> {
    const checksum = hexToBase64(body.sha256);
    const query = { partNumber: String(number), uploadId };
    const answer = await this.#finished({
      method: "PUT",
      key,
      query,
      headers: { "x-amz-checksum-sha256": checksum },
      body,
    });
    const etag = header(answer, "etag");
    if (etag === undefined) throw badAnswer(`PUT part ${number} of ${key}`, "it has no ETag");
    return { number, etag, sha256: checksum };
  }

  /**
   * Makes a part of another object's bytes, on the server.
   *
   * @returns what the server says the part's SHA-256 is (base64); undefined when it cannot copy or does not say.
   */
  async copyPart(
    key: string,
    uploadId: string,
    number: number,
    source: string,
  ): Promise<{ etag: string; sha256: string } | undefined> {
    try {
      return await this.#xml(
        {
          method: "PUT",
          key,
          query: { partNumber: String(number), uploadId },
          headers: { "x-amz-copy-source": `/${this.#location.bucket}/${encodePath(source)}` },
          headersMs: SERVER_SIDE_MS,
        },
        "CopyPartResult",
        (root) => {
          const sha256 = textOf(root, "ChecksumSHA256");
          return sha256 === undefined ? undefined : { etag: requiredText(root, "ETag"), sha256 };
        },
      );
    } catch (error) {
      if (error instanceof S3Error && (error.status === 501 || error.s3Code === "NotImplemented")) return undefined;
      throw error;
    }
  }

  /**
   * Makes an object of its parts, all at once.
   *
   * @returns `exists` when `createOnly` and something is there; `gone` when there is no such upload: perhaps because an earlier attempt
   * of this very call completed it.
   */
  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly S3Part[],
    createOnly: boolean,
  ): Promise<"stored" | "exists" | "gone"> {
    const lines = parts.map(
      ({ number, etag, sha256 }) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>${escapeXml(etag)}</ETag><ChecksumSHA256>${sha256}</ChecksumSHA256></Part>`,
    );
    const bytes = Buffer.from(
      `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${lines.join("")}</CompleteMultipartUpload>`,
    );
    try {
      return await this.#unless412(
        () =>
          this.#xml(
            {
              method: "POST",
              key,
              query: { uploadId },
              headers: { "content-type": "application/xml", ...(createOnly ? { "if-none-match": "*" } : {}) },
              body: { bytes, sha256: sha256Hex(bytes) },
              headersMs: SERVER_SIDE_MS,
            },
            "CompleteMultipartUploadResult",
            () => undefined,
          ),
        "stored",
      );
    } catch (error) {
      if (error instanceof S3Error && error.s3Code === "NoSuchUpload") return "gone";
      throw error;
    }
  }

  /** Drops a multipart upload and its parts; fine when there is none. */
  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      await this.#finished({ method: "DELETE", key, query: { uploadId } });
    } catch (error) {
      // A server that cannot (405, 501) keeps the parts until its own rules take them; nobody sees them.
      if (!(error instanceof S3Error) || ![404, 405, 501].includes(error.status)) throw error;
    }
  }

  /** Runs a request whose answer has no body worth reading. */
  async #finished(request: Request): Promise<Answer> {
    return await this.#send(request, async (answer) => {
      await this.#collect(`${request.method} ${request.key}`, answer, MAX_XML_BYTES);
      return answer;
    });
  }

  /** Runs a request whose answer is XML. A 200 may still hold an error (S3: CompleteMultipartUpload). */
  async #xml<T>(request: Request, rootName: string, read: (root: XmlElement) => T): Promise<T> {
    const operation = `${request.method} ${request.key === "" ? "list" : request.key}`;
    return await this.#send(request, async (answer) => {
      const bytes = await this.#collect(operation, answer, MAX_XML_BYTES);
      try {
        const root = parseXml(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
        if (root.name === "Error") throw errorAnswer(operation, errorStatus(root), errorOf(root));
        if (root.name !== rootName) throw new Error(`it is ${root.name}, not ${rootName}`);
        return read(root);
      } catch (error) {
        if (error instanceof S3Error) throw error;
        throw badAnswer(operation, error instanceof Error ? error.message : String(error), error);
      }
    });
  }

  async #unless404<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      // HEAD has no body, so no code; a missing bucket is no missing key.
      if (error instanceof S3Error && error.status === 404 && (error.s3Code === "NoSuchKey" || error.s3Code === "")) {
        return undefined;
      }
      throw error;
    }
  }

  async #unless412(work: () => Promise<unknown>, done: "stored"): Promise<"stored" | "exists"> {
    try {
      await work();
      return done;
    } catch (error) {
      if (error instanceof S3Error && error.status === 412) return "exists";
      throw error;
    }
  }

  /** Signs and sends, and sends again where that may help, until `accept` has taken an answer that is no error. */
  async #send<T>(request: Request, accept: (answer: Answer) => Promise<T>): Promise<T> {
    const operation = `${request.method} ${request.key}`;
    return await retrying(this.retry, async (_attempt, hear) => {
      let answer: Answer;
      try {
        const { statusCode, headers, body } = await this.#agent.request(await this.#signed(request));
        answer = { status: statusCode, headers, body };
        // Whoever reads the body hears of its end by reading; a body dropped unread has an end nobody asks for.
        body.on("error", () => undefined);
      } catch (cause) {
        throw noAnswer(operation, cause);
      }
      if (answer.status >= 200 && answer.status < 300) return await accept(answer);
      hear(retryAfterMs(answer.headers["retry-after"]));
      const bytes = request.method === "HEAD" ? NOTHING : await this.#collect(operation, answer, MAX_ERROR_BYTES);
      if (request.method === "HEAD") answer.body.resume();
      throw errorAnswer(operation, answer.status, readError(bytes));
    });
  }

  /** Reads a body of known length into memory of that size: it is never there twice. */
  async #fill(operation: string, answer: Answer, expected: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(expected);
    let came = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        if (came + chunk.length > expected) throw new Error("more bytes came than were announced");
        bytes.set(chunk, came);
        came += chunk.length;
      }
    } catch (cause) {
      throw noAnswer(operation, cause);
    }
    if (came !== expected) throw noAnswer(operation, new Error(`${came} of ${expected} bytes came`));
    return bytes;
  }

  /** Reads a body whole. @throws S3Error when it breaks off or is longer than `maxBytes`. */
  async #collect(operation: string, answer: Answer, maxBytes: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let total = 0;
    try {
      for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
        total += chunk.length;
        // Leaving the loop destroys the body, and its connection with it.
        if (total > maxBytes) break;
        chunks.push(chunk);
      }
    } catch (cause) {
      throw noAnswer(operation, cause);
    }
    if (total > maxBytes) throw badAnswer(operation, `it is longer than ${maxBytes} bytes`);
    return Buffer.concat(chunks);
  }

  /** @param inQuery whether the signature goes into the URL instead of the headers. */
  #signer(request: Request, inQuery: boolean): AwsV4Signer {
    const { endpoint, bucket, pathStyle, region, credentials } = this.#location;
    const base = new URL(endpoint);
    if (!pathStyle) base.hostname = `${bucket}.${base.hostname}`;
    const path = `/${pathStyle ? `${bucket}/` : ""}${encodePath(request.key)}`;
    const search = Object.entries(request.query ?? {})
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
      .join("&");
    const url = `${base.origin}${request.key === "" && pathStyle ? path.slice(0, -1) : path}${search === "" ? "" : `?${search}`}`;
    return new AwsV4Signer({
      method: request.method,
      url,
      service: "s3",
      region,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
      ...(inQuery
        ? { signQuery: true }
        : { headers: { ...request.headers, "x-amz-content-sha256": request.body?.sha256 ?? EMPTY_SHA256 } }),
      cache: this.#signingKeys,
    });
  }

  async #signed(request: Request): Promise<Dispatcher.RequestOptions> {
    const signed = await this.#signer(request, false).sign();
    return {
      origin: signed.url.origin,
      path: `${signed.url.pathname}${signed.url.search}`,
      method: request.method,
      headers: Object.fromEntries(signed.headers),
      headersTimeout: request.headersMs ?? this.#headersMs,
      bodyTimeout: this.#bodyMs,
      ...(request.body === undefined ? {} : { body: request.body.bytes }),
    };
  }
}

/** A key as it stands in a path: every component percent-encoded, the slashes kept. */
function encodePath(key: string): string {
  return key.split("/").map(encodeURIComponent).join("/");
}

function errorOf(root: XmlElement): { code: string; message: string } {
  return { code: textOf(root, "Code") ?? "", message: textOf(root, "Message") ?? "" };
}

/** The status an error inside a 200 stands for. */
function errorStatus(root: XmlElement): number {
  switch (textOf(root, "Code")) {
    case "PreconditionFailed":
      return 412;
    case "NoSuchUpload":
      return 404;
    case "InternalError":
      return 500;
    case "SlowDown":
    case "ServiceUnavailable":
      return 503;
    default:
      return child(root, "Code") === undefined ? 500 : 400;
  }
}

/** An error body; one that is not S3's (a proxy's page, nothing) has no code. */
function readError(bytes: Uint8Array): { code: string; message: string } {
  if (bytes.length === 0) return { code: "", message: "" };
  let root: XmlElement;
  try {
    root = parseXml(new TextDecoder().decode(bytes));
  } catch {
    // What it says does not matter then: the status decides.
    return { code: "", message: "" };
  }
  return root.name === "Error" ? errorOf(root) : { code: "", message: "" };
}
