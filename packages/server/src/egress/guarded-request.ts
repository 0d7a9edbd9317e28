import { lookup as resolveName } from "node:dns/promises";
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { ServerError } from "../errors.ts";
import { traceparentNow } from "../signals/tracing.ts";
import { isLoopbackAddress, isPublicAddress } from "./address.ts";

/** What may be asked, and how much of an answer is taken. */
export interface EgressRules {
  /**
   * Places (`host` or `host:port`, as URLs spell them) that may have private addresses: an issuer inside the organisation's network. For those of
   * them that are this machine plain http is allowed as well.
   */
  readonly privatePlaces: ReadonlySet<string>;
}

/** How long a request may take, and how much of its answer is read. */
export interface EgressLimits {
  /** From the name's look-up to the last byte, ms. */
  readonly timeoutMs: number;
  /** Bytes of the answer's body. */
  readonly maxBytes: number;
}

/** What is asked. */
export interface EgressQuestion {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Whether the body of an answer of this status is wanted. If not, no byte of it is read: its status is the answer. */
  readonly wantsBody: (status: number) => boolean;
}

/** What was answered, whatever its status. */
export interface EgressAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Empty when it was not wanted. */
  readonly body: Uint8Array;
}

/** Resolves a name to all its addresses. */
export type Resolve = (host: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

const systemResolve: Resolve = (host) => resolveName(host, { all: true, verbatim: true });

function refused(url: string, why: string, hint?: string): ServerError {
  return new ServerError("egress-refused", `${url} is not asked: ${why}`, hint === undefined ? {} : { hint });
}

/** There was no answer that can be used. `shown` is the URL without its query, which may hold what nobody should read. */
export function egressFailed(shown: string, why: string, cause?: unknown): ServerError {
  return new ServerError("egress-failed", `${shown} gave no answer that can be used: ${why}`, { cause });
}

/** A URL as messages show it: without its query. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`.slice(0, 500);
}

/**
 * Asks a URL that comes from somebody else.
 *
 * INVARIANT: the connection goes to an address that was checked: the name is resolved once, here, every address of it is looked at, and the
 * socket gets no other. What a second look-up would say (DNS rebinding) is never asked.
 *
 * Redirects are not followed, not even to the same host: nothing we ask for is defined by one. They are answers like others.
 *
 * @throws ServerError `egress-refused` when the rules forbid to ask; `egress-failed` when there was no answer in time and size.
 */
export async function guardedRequest(
  address: string,
  rules: EgressRules,
  question: EgressQuestion,
  limits: EgressLimits,
  resolve: Resolve = systemResolve,
): Promise<EgressAnswer> {
  if (!URL.canParse(address)) throw refused(address.slice(0, 200), "it is no URL");
  const url = new URL(address);
  const shown = shownUrl(url);
  if (url.username !== "" || url.password !== "") throw refused(shown, "it carries credentials");
  if (url.protocol !== "https:" && url.protocol !== "http:") throw refused(shown, `${url.protocol} is not https`);
  const deadline = AbortSignal.timeout(limits.timeoutMs);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = await Promise.race([addressesOf(host, shown, resolve), expiry(deadline, shown)]);
  const mayBePrivate = rules.privatePlaces.has(url.host) || rules.privatePlaces.has(url.hostname);
  const forbidden = addresses.find((found) => !isPublicAddress(found.address));
  if (forbidden !== undefined && !mayBePrivate) {
    throw refused(
      shown,
      "its address is not a public one",
      "if it is meant to be inside your network, the operator lists its host in ASSAY_EGRESS_PRIVATE",
    );
  }
  const here = addresses.every((found) => isLoopbackAddress(found.address));
  if (url.protocol === "http:" && !(mayBePrivate && here)) throw refused(shown, "http is not https");
  return await ask(url, shown, addresses, question, limits, deadline);
}

async function addressesOf(
  host: string,
  shown: string,
  resolve: Resolve,
): Promise<readonly { readonly address: string; readonly family: number }[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  try {
    const found = await resolve(host);
    if (found.length > 0) return found;
  } catch (cause) {
    throw egressFailed(shown, "its name has no address", cause);
  }
  throw egressFailed(shown, "its name has no address");
}

function expiry(deadline: AbortSignal, shown: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    deadline.addEventListener("abort", () => reject(egressFailed(shown, "it took too long")), { once: true });
  });
}

function ask(
  url: URL,
  shown: string,
  addresses: readonly { readonly address: string; readonly family: number }[],
  question: EgressQuestion,
  limits: EgressLimits,
  deadline: AbortSignal,
): Promise<EgressAnswer> {
  const [first] = addresses;
  const lookup: LookupFunction = (_host, options, done) => {
    if (options.all === true) done(null, [...addresses]);
    else done(null, first?.address ?? "", first?.family);
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      reject(egressFailed(shown, deadline.aborted ? "it took too long" : why, cause));
      request.destroy();
    };
    const receive = (response: IncomingMessage): void => {
      const { statusCode: status = 0, headers } = response;
      if (!question.wantsBody(status)) {
        resolve({ status, headers, body: new Uint8Array() });
        request.destroy();
        return;
      }
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > limits.maxBytes) fail(`its answer has more than ${limits.maxBytes} bytes`);
        else chunks.push(chunk);
      });
      response.on("error", (error) => fail("the connection broke", error));
      response.on("end", () => {
        if (response.complete) resolve({ status, headers, body: new Uint8Array(Buffer.concat(chunks)) });
        else fail("the connection broke");
      });
    };
    const traceparent = traceparentNow();
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    // No agent: a connection that was checked for one question is not kept for another. No compression: a small answer stays small.
    const request = send(
      url,
      {
        method: question.method,
        agent: false,
        lookup,
        signal: deadline,
        headers: {
          ...question.headers,
          "accept-encoding": "identity",
          "user-agent": "assay",
          ...(traceparent === undefined ? {} : { traceparent }),
          ...(question.body === undefined ? {} : { "content-length": String(question.body.length) }),
        },
        maxHeaderSize: 16 * 1024,
      },
      receive,
    );
    request.on("error", (error) => fail("it cannot be reached", error));
    request.end(question.body);
  });
}
