import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { Readable } from "node:stream";
import { ServerError } from "../errors.ts";
import {
  type EgressRules,
  egressFailed,
  type PermittedPlace,
  permittedPlace,
  type Resolve,
  systemResolve,
} from "./permitted-place.ts";

/** What is asked, with a body that may be as large as it likes. */
export interface StreamQuestion {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  readonly headers: Readonly<Record<string, string>>;
  /** A stream needs a content-length among the headers. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** How long an answer may take, ms. Its size is for whoever reads it to bound. */
export interface StreamLimits {
  /** From the name's look-up to the answer's head; with a streamed body, from the body's end. */
  readonly headMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
  /** Altogether. */
  readonly totalMs: number;
}

/** What was answered, whatever its status. Its body is read once, or let go of. */
export interface StreamedAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The URL that was asked, as messages show it. */
  readonly shown: string;
  /** @throws ServerError `egress-failed` when it breaks off, stalls, or takes too long. */
  body(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Closes the connection. */
  discard(): void;
}

/**
 * Asks a URL that comes from somebody else, and hands over the answer as it comes. Redirects are answers like others: whoever follows one
 * asks its URL here anew.
 *
 * @throws ServerError `egress-refused` when the rules forbid to ask; `egress-failed` when there was no answer in time.
 */
export async function guardedStream(
  address: string,
  rules: EgressRules,
  question: StreamQuestion,
  limits: StreamLimits,
  resolve: Resolve = systemResolve,
): Promise<StreamedAnswer> {
  const place = await permittedPlace(address, rules, AbortSignal.timeout(limits.headMs), resolve);
  return await begin(place, question, limits);
}

function begin(place: PermittedPlace, question: StreamQuestion, limits: StreamLimits): Promise<StreamedAnswer> {
  const { url, shown, lookup } = place;
  const whole = AbortSignal.timeout(limits.totalMs);
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      clearTimeout(head);
      // What this side of the connection could not hand over is not the other side's doing.
      reject(
        cause instanceof ServerError ? cause : egressFailed(shown, whole.aborted ? "it took too long" : why, cause),
      );
      request.destroy();
    };
    let head: NodeJS.Timeout | undefined;
    let answered = false;
    const awaitHead = (): void => {
      if (!answered) head = setTimeout(() => fail("it took too long"), limits.headMs);
    };
    const receive = (response: IncomingMessage): void => {
      clearTimeout(head);
      answered = true;
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        shown,
        body: () => pieces(response, shown, limits, whole),
        discard: () => request.destroy(),
      });
    };
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    // No agent: a connection that was checked for one question is not kept for another. No compression: what has a digest comes as it is.
    const request = send(
      url,
      {
        method: question.method,
        agent: false,
        lookup,
        signal: whole,
        headers: {
          ...question.headers,
          "accept-encoding": "identity",
          "user-agent": "assay",
          ...(question.body instanceof Uint8Array ? { "content-length": String(question.body.length) } : {}),
        },
        maxHeaderSize: 16 * 1024,
      },
      receive,
    );
    request.on("error", (error) => fail("it cannot be reached", error));
    const { body } = question;
    if (body === undefined || body instanceof Uint8Array) {
      awaitHead();
      request.end(body);
      return;
    }
    const source = Readable.from(body, { objectMode: false });
    source.on("error", (error) => fail("what was to be sent could not be read", error));
    source.on("end", awaitHead);
    request.setTimeout(Math.max(limits.idleMs, limits.headMs), () => fail("it takes nothing more"));
    // However it ends, nothing that is read from stays open.
    request.on("close", () => source.destroy());
    source.pipe(request);
  });
}

async function* pieces(
  response: IncomingMessage,
  shown: string,
  limits: StreamLimits,
  whole: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Only while it is the other side that is waited for: where what came goes may take longer.
  const wait = (): NodeJS.Timeout =>
    setTimeout(() => response.destroy(egressFailed(shown, "it sent nothing for too long")), limits.idleMs);
  let timer = wait();
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      clearTimeout(timer);
      yield chunk;
      timer = wait();
    }
    if (!response.complete) throw egressFailed(shown, "the connection broke");
  } catch (error) {
    if (error instanceof ServerError) throw error;
    throw egressFailed(shown, whole.aborted ? "it took too long" : "the connection broke", error);
  } finally {
    clearTimeout(timer);
    response.destroy();
  }
}
