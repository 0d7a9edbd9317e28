import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { ServerError, type ServerErrorCode } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { Authenticator } from "./authenticate.ts";
import { note } from "../signals/about.ts";
import { nameSchema } from "./names.ts";
import type { OutsideIssuers } from "./outside-issuers.ts";
import { type OutsideToken, verifyOutsideToken } from "./outside-token.ts";
import { findPrincipal } from "./queries.ts";
import { admittingWorkload, exchangeRefused } from "./workload-commands.ts";
import { repositoriesOfRow } from "./workload-queries.ts";
import { API, append } from "./wire.ts";

/** Where outside tokens are exchanged. */
export const EXCHANGE_PATH = `${API}/token/exchange`;

/** Largest form, bytes: a token of the largest size and room to spare. */
const FORM_LIMIT = 32 * 1024;

/** RFC 8693 §2.1, §3. */
const GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT_TOKEN_TYPES: ReadonlySet<string> = new Set([
  "urn:ietf:params:oauth:token-type:jwt",
  "urn:ietf:params:oauth:token-type:id_token",
]);

/** What passes by itself, and when it is worth asking again, seconds. */
const BUSY: ReadonlyMap<string, number> = new Map<ServerErrorCode, number>([
  ["issuer-unavailable", 30],
  ["writer-overloaded", 1],
  ["writer-stopped", 1],
  ["database-unavailable", 1],
  ["database-busy", 1],
]);

/** Parameters of RFC 8693 §2.1; each may come once. */
const PARAMETERS = ["grant_type", "subject_token", "subject_token_type", "audience", "requested_token_type"] as const;

export interface ExchangeContext {
  readonly reader: Reader;
  readonly record: RecordClient;
  readonly authenticator: Authenticator;
  readonly issuers: OutsideIssuers;
}

interface ExchangeRequest {
  readonly org: string;
  readonly identity: string;
  readonly subjectToken: string;
}

/** OAuth's error codes (RFC 6749 §5.2, RFC 8693 §2.2.2) for our own. */
function oauthError(problem: Problem): string {
  switch (problem.code) {
    case "grant-unsupported":
      return "unsupported_grant_type";
    case "exchange-refused":
      return "invalid_target";
    default:
      return problem.status >= 500 ? "temporarily_unavailable" : "invalid_request";
  }
}

function answerProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers({ ...problem.headers, "cache-control": "no-store" })
    .send({
      error: oauthError(problem),
      error_description: problem.hint === undefined ? problem.message : `${problem.message}: ${problem.hint}`,
    });
}

function wrong(message: string): Problem {
  return new Problem(400, "request-invalid", message);
}

/** Reads a token exchange request (RFC 8693 §2.1). `audience` names the workload identity: `<organisation>/<name>`. */
function readForm(body: unknown): ExchangeRequest {
  if (!(body instanceof URLSearchParams)) {
    throw wrong("a token exchange is a form (application/x-www-form-urlencoded)");
  }
  for (const name of PARAMETERS) {
    if (body.getAll(name).length > 1) throw wrong(`${name} comes more than once`);
  }
  if (body.get("grant_type") !== GRANT_TYPE) {
    throw new Problem(400, "grant-unsupported", `grant_type is not ${GRANT_TYPE}`);
  }
  if (!SUBJECT_TOKEN_TYPES.has(body.get("subject_token_type") ?? "")) {
    throw wrong(`subject_token_type is none of ${[...SUBJECT_TOKEN_TYPES].join(", ")}`);
  }
  const requested = body.get("requested_token_type");
  if (requested !== null && requested !== ACCESS_TOKEN_TYPE) throw wrong(`only a ${ACCESS_TOKEN_TYPE} can be had here`);
  const subjectToken = body.get("subject_token") ?? "";
  if (subjectToken === "") throw wrong("there is no subject_token");
  const [org, identity, ...rest] = (body.get("audience") ?? "").split("/");
  const names = z.tuple([nameSchema, nameSchema]).safeParse([org, identity]);
  if (!names.success || rest.length > 0) {
    throw wrong("audience names the workload identity, as <organisation>/<name>");
  }
  return { org: names.data[0], identity: names.data[1], subjectToken };
}

/**
 * The token exchange (RFC 8693): a CI's identity token in, a short token of ours out. Who has no workload identity learns from the answers
 * nothing about anybody's: the token is judged first, by what this server believes whoever asks, and everything about the identity is
 * one answer.
 */
export function registerExchangeRoute(app: FastifyInstance, context: ExchangeContext): void {
  const { reader, record, authenticator, issuers } = context;

  async function exchange(
    { org, identity, subjectToken }: ExchangeRequest,
    request: FastifyRequest,
    log: (why: object) => void,
  ) {
    const outside = await verifyOutsideToken(issuers, subjectToken, authenticator.now());
    const row = await admittingWorkload(reader, org, identity, outside, authenticator.now());
    const account = await findPrincipal(reader, row?.service_account ?? `service:${org}/${identity}`);
    if (row === undefined || account === undefined || account.ended_sequence !== null) {
      // The organisation's people ask the operator: what it was compared with is in no answer.
      log({ org, identity, issuer: outside.issuer, subject: outside.subject, audiences: outside.audiences });
      throw Problem.fromRefusal(exchangeRefused());
    }
    const workload = { name: identity, since: row.from_seq };
    const actor: Actor = {
      id: row.service_account,
      credential: { kind: "workload-token", epoch: account.epoch, workload },
    };
    await append(record, {
      type: "access.exchange-token",
      org,
      actor,
      body: exchangeBody(identity, outside),
    });
    const issued = authenticator.workloadTokens.issue({
      subject: actor.id,
      epoch: account.epoch,
      workload,
      now: authenticator.now(),
      notAfter: row.expires_time,
    });
    authenticator.identified(request.headers, actor);
    note(request, { org, granted: (repositoriesOfRow(row) ?? [`${org}/**`]).join(" ").slice(0, 1_000) });
    return {
      access_token: issued.token,
      issued_token_type: ACCESS_TOKEN_TYPE,
      token_type: "Bearer",
      expires_in: issued.expiresIn,
    };
  }

  void app.register(async (door) => {
    door.removeAllContentTypeParsers();
    door.addContentTypeParser(
      "application/x-www-form-urlencoded",
      { parseAs: "string", bodyLimit: FORM_LIMIT },
      (_request, body, done) => done(null, new URLSearchParams(String(body))),
    );
    door.setErrorHandler((error, request, reply) => {
      if (error instanceof Problem) return answerProblem(reply, error);
      if (error instanceof ServerError) {
        const seconds = BUSY.get(error.code) ?? retryAfter(error);
        if (seconds !== undefined) {
          request.log.warn({ err: error }, "token exchange failed");
          const headers = { "retry-after": String(seconds) };
          const options = { headers, ...(error.hint === undefined ? {} : { hint: error.hint }) };
          return answerProblem(reply, new Problem(503, error.code, error.message, options));
        }
      }
      const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
      if (status >= 400 && status < 500 && error instanceof Error) {
        return answerProblem(reply, new Problem(status, "request-invalid", error.message));
      }
      request.log.error({ err: error }, "request failed");
      return answerProblem(reply, new Problem(500, "internal", "the server could not do this; its log says why"));
    });

    door.post(EXCHANGE_PATH, { schema: { hide: true } }, async (request, reply) => {
      const answer = await exchange(readForm(request.body), request, (why) =>
        request.log.info(why, "no workload identity takes this token"),
      );
      return await reply.header("cache-control", "no-store").header("pragma", "no-cache").send(answer);
    });
  });
}

/** The command's body: what the identity is compared with again, inside the transaction. */
function exchangeBody(identity: string, outside: OutsideToken) {
  return {
    identity,
    issuer: outside.issuer,
    subject: outside.subject,
    audiences: [...outside.audiences],
    claims: Object.entries(outside.claims).map(([claim, value]) => ({ claim, value })),
    token: outside.token,
    identified: outside.identified,
  };
}
