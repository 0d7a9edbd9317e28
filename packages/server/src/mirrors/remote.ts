import { parseJson } from "@assay/evidence";
import { z } from "zod";
import { guardedRequest } from "../egress/guarded-request.ts";
import { guardedStream, type StreamedAnswer, type StreamQuestion } from "../egress/guarded-stream.ts";
import { type EgressRules, type Resolve, shownUrl } from "../egress/permitted-place.ts";
import { ServerError } from "../errors.ts";
import { readChallenge } from "./challenge.ts";
import { MIRROR_LIMITS } from "./limits.ts";
import type { Credential, RemotePlace } from "./setting.ts";

/** With what other registries are asked. */
export interface RemoteContext {
  readonly egress: EgressRules;
  readonly resolve?: Resolve | undefined;
  readonly now: () => number;
  /** Shorter than {@link MIRROR_LIMITS} in tests. */
  readonly headMs?: number | undefined;
  readonly idleMs?: number | undefined;
}

/** What is done there. */
export type RemoteRight = "pull" | "pull,push";

/** A question to a registry, below its `/v2/<name>/`. */
export interface RemoteQuestion {
  readonly method: StreamQuestion["method"];
  /** `manifests/…`, or a whole URL on the registry's host that it gave itself. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each time it is sent: a question may be asked again, with a token. */
  readonly body?: () => Uint8Array | AsyncIterable<Uint8Array>;
  /** Another repository there that is pulled from too: what is mounted comes from it. */
  readonly from?: string | undefined;
  /** Altogether, ms. */
  readonly totalMs: number;
}

/** Another registry's answer cannot be used. @param why what is wrong, said after its URL. */
export function upstreamFailed(
  shown: string,
  why: string,
  options: { cause?: unknown; hint?: string } = {},
): ServerError {
  return new ServerError("upstream-failed", `${shown} ${why}`, options);
}

/** Another registry that has too much to do, or of which too much was asked (RFC 9110 §15.6.4, RFC 6585 §4). */
export class UpstreamBusy extends ServerError {
  /** How long it is to be left alone, ms. */
  readonly restMs: number;

  constructor(shown: string, status: number, retryAfter: string | undefined) {
    const { restMs, longestRestMs } = MIRROR_LIMITS;
    const asked = retryAfter !== undefined && /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1000 : restMs;
    const rest = Math.min(Math.max(asked, restMs), longestRestMs);
    super("upstream-failed", `${shown} answers ${status}`, {
      hint: `it is left alone for ${Math.ceil(rest / 1000)} s`,
    });
    this.restMs = rest;
  }
}

/** An answer of another registry other than those hoped for, said in words, and let go of. */
export function unexpectedAnswer(answer: StreamedAnswer): ServerError {
  answer.discard();
  const { shown, status, headers } = answer;
  if (status === 429 || status === 503) return new UpstreamBusy(shown, status, headers["retry-after"]);
  return upstreamFailed(shown, `answers ${status}`);
}

const tokenAnswer = z.object({ token: z.string().optional(), access_token: z.string().optional() });

/** A token as it may stand in a header (RFC 6750 §2.1, and what services really send). */
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * A repository on another registry (OCI distribution 1.1), asked through the egress guard.
 *
 * INVARIANT: the credential goes to the registry's own host, and to the hosts it was given for, and to no other: not to a realm that a
 * challenge names, and not after a redirect.
 */
export class Remote {
  readonly place: RemotePlace;
  readonly #context: RemoteContext;
  readonly #credential: Credential | undefined;
  readonly #tokenHosts: ReadonlySet<string>;
  readonly #right: RemoteRight;
  #authorization: { readonly header: string; readonly until: number } | undefined;

  constructor(
    place: RemotePlace,
    context: RemoteContext,
    given: {
      readonly credential: Credential | undefined;
      readonly tokenHosts: readonly string[];
      readonly right: RemoteRight;
    },
  ) {
    this.place = place;
    this.#context = context;
    this.#credential = given.credential;
    this.#tokenHosts = new Set([place.host, ...given.tokenHosts]);
    this.#right = given.right;
  }

  /**
   * Asks, with a token where one is wanted; follows redirects of what only reads.
   *
   * @throws ServerError `egress-refused`, `egress-failed`; `upstream-failed` when it wants what this server will not give.
   */
  async ask(question: RemoteQuestion): Promise<StreamedAnswer> {
    const url = this.#urlOf(question.path);
    const first = await this.#follow(url, question);
    if (first.status !== 401) return first;
    first.discard();
    const header = first.headers["www-authenticate"];
    const asked = Array.isArray(header) ? header.join(", ") : header;
    this.#authorization = await this.#authorize(first.shown, asked, question.from);
    const second = await this.#follow(url, question);
    if (second.status !== 401) return second;
    second.discard();
    this.#authorization = undefined;
    throw upstreamFailed(second.shown, "does not let this server in (401)", {
      hint: "look at the credential that is set",
    });
  }

  /** @throws ServerError `upstream-failed` for a URL that is not on the registry's host. */
  #urlOf(path: string): URL {
    const { origin, repository } = this.place;
    const url = /^(?:https?:)?\//i.test(path) ? new URL(path, origin) : new URL(`${origin}/v2/${repository}/${path}`);
    if (url.origin !== origin) throw upstreamFailed(shownUrl(url), `is not on ${origin}, and is not asked`);
    return url;
  }

  async #follow(start: URL, question: RemoteQuestion): Promise<StreamedAnswer> {
    const { headMs = MIRROR_LIMITS.headMs, idleMs = MIRROR_LIMITS.idleMs, egress, resolve } = this.#context;
    const limits = { headMs, idleMs, totalMs: question.totalMs };
    const mayFollow = question.method === "GET" || question.method === "HEAD";
    let url = start;
    // Once the question has left the registry's host, it carries nothing any more, wherever it is sent next.
    let home = true;
    for (let redirects = 0; ; redirects += 1) {
      const authorization = home ? this.#current() : undefined;
      const answer = await guardedStream(
        url.href,
        egress,
        {
          method: question.method,
          headers: { ...question.headers, ...(authorization === undefined ? {} : { authorization }) },
          ...(question.body === undefined ? {} : { body: question.body() }),
        },
        limits,
        resolve,
      );
      if (!mayFollow || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      answer.discard();
      const { location } = answer.headers;
      if (location === undefined || !URL.canParse(location, url))
        throw upstreamFailed(answer.shown, "redirects to nowhere");
      if (redirects >= MIRROR_LIMITS.redirects) throw upstreamFailed(answer.shown, "redirects too often");
      url = new URL(location, url);
      home &&= url.origin === this.place.origin;
    }
  }

  #current(): string | undefined {
    const held = this.#authorization;
    return held !== undefined && held.until > this.#context.now() ? held.header : undefined;
  }

  async #authorize(
    shown: string,
    header: string | undefined,
    from: string | undefined,
  ): Promise<{ header: string; until: number }> {
    const challenge = readChallenge(header);
    const basic = this.#basic();
    if (challenge === undefined)
      throw upstreamFailed(shown, "wants a way of logging in that this server does not know");
    if (challenge.scheme === "basic") {
      if (basic === undefined) throw upstreamFailed(shown, "wants a user and a password", { hint: "set a credential" });
      return { header: basic, until: Number.POSITIVE_INFINITY };
    }
    if (!URL.canParse(challenge.realm)) throw upstreamFailed(shown, "names a token service that is no URL");
    const realm = new URL(challenge.realm);
    // A registry names whoever it likes. Nobody is asked whom the mirror's setting does not name, with a credential or without.
    if (!this.#tokenHosts.has(realm.host)) {
      throw upstreamFailed(shown, `sends this server for a token to ${realm.host}, which the setting does not name`, {
        hint: `if that host is the registry's own, name it with --token-host ${realm.host}`,
      });
    }
    if (challenge.service !== undefined) realm.searchParams.set("service", challenge.service);
    realm.searchParams.set("scope", `repository:${this.place.repository}:${this.#right}`);
    if (from !== undefined) realm.searchParams.append("scope", `repository:${from}:pull`);
    if (this.#credential !== undefined) realm.searchParams.set("account", this.#credential.username);
    const { egress, resolve, headMs = MIRROR_LIMITS.headMs } = this.#context;
    const answer = await guardedRequest(
      realm.href,
      egress,
      {
        method: "GET",
        headers: { accept: "application/json", ...(basic === undefined ? {} : { authorization: basic }) },
        wantsBody: (status) => status === 200,
      },
      { timeoutMs: headMs, maxBytes: MIRROR_LIMITS.tokenAnswer },
      resolve,
    );
    const asked = shownUrl(realm);
    if (answer.status === 429 || answer.status === 503) {
      throw new UpstreamBusy(asked, answer.status, answer.headers["retry-after"]);
    }
    if (answer.status !== 200) {
      const hint = "look at the credential that is set";
      throw upstreamFailed(asked, `gives this server no token (${answer.status})`, { hint });
    }
    return { header: `Bearer ${readToken(asked, answer.body)}`, until: this.#context.now() + MIRROR_LIMITS.tokenMs };
  }

  /** RFC 7617. */
  #basic(): string | undefined {
    if (this.#credential === undefined) return undefined;
    const { username, password } = this.#credential;
    return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
  }
}

/** Whoever asks a registry. */
export type Asking = Pick<Remote, "place" | "ask">;

/** The same, for no longer than until a moment (ms): each answer ends by then, and after it nothing is asked. */
export function askingUntil(remote: Asking, until: number, now: () => number): Asking {
  return {
    place: remote.place,
    ask: async (question) => {
      const left = until - now();
      if (left <= 0) throw upstreamFailed(remote.place.origin, "took too long: it is asked again later");
      return await remote.ask({ ...question, totalMs: Math.min(question.totalMs, left) });
    },
  };
}

function readToken(shown: string, body: Uint8Array): string {
  let token: string | undefined;
  try {
    const read = tokenAnswer.parse(parseJson(body, { maxBytes: MIRROR_LIMITS.tokenAnswer, maxDepth: 8 }));
    token = read.token ?? read.access_token;
  } catch (cause) {
    throw upstreamFailed(shown, "answers with no token", { cause });
  }
  if (token === undefined || token.length > MIRROR_LIMITS.token || !TOKEN.test(token)) {
    throw upstreamFailed(shown, "answers with no token");
  }
  return token;
}
