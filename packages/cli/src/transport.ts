import type { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { CliError, Exit, systemCode } from "./errors.ts";
import { isLoopback } from "./server-address.ts";
import { VERSION } from "./version.ts";
import type { Way } from "./way.ts";

/** One HTTP request; `body` streams must come with a content-length header. */
export type Outgoing = {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Readable;
};

/** The answer, before its body is read. Exactly one of `bytes`, `stream` and `discard` must be called. */
export type Incoming = {
  readonly status: number;
  /** The first header of that (lower-case) name. */
  header(name: string): string | undefined;
  /** The whole body; an error (`response-too-large`) if it is longer than `limit` bytes. */
  bytes(limit: number): Promise<Buffer>;
  /** The body as it arrives. Reading it may throw `network`. */
  stream(): AsyncIterable<Buffer>;
  /** Throws the body away. */
  discard(): Promise<void>;
};

/** What is told of a request: never its headers or its body. */
export type ToldRequest = {
  readonly method: Outgoing["method"];
  readonly url: URL;
  /** Undefined if there was no answer. */
  readonly status: number | undefined;
  /** Until the head of the answer was there. */
  readonly ms: number;
};

const CONNECT_MS = 15_000;
// No bytes for this long means that the other side is gone, however long the transfer as a whole may take.
const SILENCE_MS = 60_000;

/**
 * HTTP/1.1 for everything this program asks of servers and registries. Proxy variables (HTTPS_PROXY, NO_PROXY) are
 * honoured, but never for loopback. Redirects are not followed: the callers know which headers may go where.
 */
export class Transport {
  #way: Promise<Way> | undefined;
  readonly #told: ((request: ToldRequest) => void) | undefined;

  /** `told` hears of every request when its answer's head is there, or when it failed. */
  constructor(told?: (request: ToldRequest) => void) {
    this.#told = told;
  }

  /** Sends a request. Errors: `network` (exit 3) with the origin in its message and never a header, path or token. */
  async send(outgoing: Outgoing): Promise<Incoming> {
    const { method, url, body } = outgoing;
    const started = performance.now();
    const tell = (status: number | undefined): void =>
      this.#told?.({ method, url, status, ms: performance.now() - started });
    try {
      // Loaded with the first request: what works offline starts without it.
      this.#way ??= import("./way.ts").then(({ openWay }) => openWay(CONNECT_MS, SILENCE_MS));
      const { request, direct, proxied } = await this.#way;
      const response = await request(url, {
        method,
        headers: { "user-agent": `assay/${VERSION}`, ...outgoing.headers },
        body: body ?? null,
        dispatcher: isLoopback(url.hostname) ? direct : proxied,
      });
      tell(response.statusCode);
      return incoming(url, response);
    } catch (error) {
      tell(undefined);
      throw networkError(url, error);
    }
  }

  async close(): Promise<void> {
    const way = await this.#way;
    if (way !== undefined) await Promise.all([way.direct.destroy(), way.proxied.destroy()]);
  }
}

function incoming(url: URL, response: Dispatcher.ResponseData): Incoming {
  async function* stream(): AsyncGenerator<Buffer, void> {
    try {
      for await (const chunk of response.body) yield chunk;
    } catch (error) {
      throw networkError(url, error);
    }
  }
  return {
    status: response.statusCode,
    header(name) {
      const value = response.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    stream,
    async bytes(limit) {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of stream()) {
        size += chunk.length;
        if (size > limit) {
          throw new CliError("response-too-large", `${url.origin} answered with more than ${limit} bytes`, {
            exit: Exit.unknown,
          });
        }
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    },
    async discard() {
      try {
        await response.body.dump();
      } catch (error) {
        throw networkError(url, error);
      }
    },
  };
}

const NETWORK_WORDS: Record<string, string> = {
  ECONNREFUSED: "nothing answers there",
  ECONNRESET: "the connection was closed",
  EPIPE: "the connection was closed",
  ENOTFOUND: "the host name is unknown",
  EAI_AGAIN: "the host name could not be looked up",
  ETIMEDOUT: "it did not answer in time",
  UND_ERR_CONNECT_TIMEOUT: "it did not answer in time",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it stopped in the middle of its answer",
  UND_ERR_SOCKET: "the connection was closed",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by nobody you trust",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by nobody you trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by nobody you trust",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
};

function networkError(url: URL, error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = systemCode(error) ?? "";
  const words = Object.hasOwn(NETWORK_WORDS, code) ? NETWORK_WORDS[code] : code || "the request failed";
  const certificate = code.includes("CERT") || code.includes("SIGNATURE");
  return new CliError("network", `cannot reach ${url.origin}: ${words}`, {
    exit: Exit.unknown,
    hint: certificate
      ? "If you trust its certificate authority, name its PEM file in NODE_EXTRA_CA_CERTS."
      : "Check the address and the network, then try again.",
    cause: error,
  });
}

/** The exit code of an HTTP error status: was the answer "no", was the question wrong, or is there no answer? */
export function exitOfStatus(status: number): Exit {
  if (status === 400 || status === 422) return Exit.usage;
  if (status === 401 || status === 408 || status === 425 || status === 429 || status >= 500) return Exit.unknown;
  return status >= 400 ? Exit.no : Exit.unknown;
}
