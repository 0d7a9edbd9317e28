import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { traceparentNow } from "../signals/tracing.ts";
import {
  type EgressRules,
  egressFailed,
  type PermittedPlace,
  permittedPlace,
  type Resolve,
  systemResolve,
} from "./permitted-place.ts";

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

/**
 * Asks a URL that comes from somebody else.
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
  const deadline = AbortSignal.timeout(limits.timeoutMs);
  const place = await permittedPlace(address, rules, deadline, resolve);
  return await ask(place, question, limits, deadline);
}

function ask(
  { url, shown, lookup }: PermittedPlace,
  question: EgressQuestion,
  limits: EgressLimits,
  deadline: AbortSignal,
): Promise<EgressAnswer> {
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
