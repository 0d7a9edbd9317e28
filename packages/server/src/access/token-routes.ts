import type { FastifyInstance, FastifyReply } from "fastify";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import { retryAfter } from "../pressure/refusals.ts";
import type { Actor, TokenAccess } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import type { Authenticator } from "./authenticate.ts";
import { authorize, credentialRefusal, keyScope } from "./authorize.ts";
import { TOKEN_PATH } from "./challenge.ts";
import { ANONYMOUS } from "./denials.ts";
import { findKey, findPrincipal } from "./queries.ts";
import type { IssuedToken } from "./signed-token.ts";
import { note } from "../signals/about.ts";
import { asksForCatalog, CATALOG_ACCESS, formatScopes, parseScopes, type RequestedAccess } from "./scope.ts";

/** Largest form a token request may send, bytes. */
const FORM_LIMIT = 16 * 1024;

/** What the token door needs. */
export interface TokenRoutesContext {
  readonly reader: Reader;
  readonly authenticator: Authenticator;
  readonly defaultOrg: string;
  /** What of the registry is everybody's to read; absent: nothing. */
  readonly everybodys?: {
    /** A repository by its whole name. */
    isPublic(repository: string): Promise<boolean>;
    /** Whether anything is. */
    anyPublic(): Promise<boolean>;
  };
}

/** Who asks without a credential. */
const NOBODY: Actor = { id: ANONYMOUS, credential: { kind: "registry-token" } };

/** Narrows what is asked for to what the actor may: asking for more is no error (Docker token authentication, "Requesting a Token"). */
async function grant(
  { reader, everybodys }: TokenRoutesContext,
  actor: Actor,
  requested: readonly RequestedAccess[],
): Promise<TokenAccess[]> {
  const access: TokenAccess[] = [];
  for (const { org, repository, actions } of requested) {
    const allowed: string[] = [];
    for (const action of actions) {
      const refusal = await authorize(reader, actor, `registry.${action}`, { org, repository });
      if (refusal === undefined || (action === "pull" && (await everybodys?.isPublic(repository)) === true)) {
        allowed.push(action);
      }
    }
    if (allowed.length > 0) access.push({ type: "repository", name: repository, actions: allowed });
  }
  return access;
}

/** The parameters of a token request, from the query of a GET or the form of a POST. */
interface TokenRequest {
  readonly service: string | null;
  readonly scopes: readonly string[];
}

/** OAuth's error codes (RFC 6749 §5.2) for our own. */
function oauthError(problem: Problem): string {
  if (problem.code === "grant-unsupported") return "unsupported_grant_type";
  if (problem.code === "scope-invalid") return "invalid_scope";
  if (problem.status === 401) return "invalid_grant";
  return problem.status >= 500 ? "server_error" : "invalid_request";
}

/** Both forms at once: OAuth's for clients that POST, the registry's for those that GET. */
function answerProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers({ ...problem.headers, "cache-control": "no-store" })
    .send({
      error: oauthError(problem),
      error_description: problem.message,
      errors: [{ code: problem.status === 401 ? "UNAUTHORIZED" : "DENIED", message: problem.message }],
    });
}

/**
 * The registry's token service (Docker registry token authentication, its GET; OAuth 2.0 compatible token endpoint, its POST). Credentials
 * go in, a short token narrowed to the asked and the allowed comes out. A registry token buys no other.
 */
export function registerTokenRoutes(app: FastifyInstance, context: TokenRoutesContext): void {
  const { reader, authenticator, defaultOrg } = context;

  function requireService(request: TokenRequest): void {
    if (request.service !== null && request.service !== authenticator.tokens.service) {
      throw new Problem(
        400,
        "service-unknown",
        `this is ${authenticator.tokens.service}, not ${JSON.stringify(request.service)}`,
        {
          hint: "the server's ASSAY_PUBLIC_URL should be the address clients use",
        },
      );
    }
  }

  function answered(issued: IssuedToken) {
    return {
      token: issued.token,
      access_token: issued.token,
      expires_in: issued.expiresIn,
      issued_at: new Date(issued.issuedAt * 1000).toISOString(),
    };
  }

  /**
   * A token for nobody, good for what is everybody's among what is asked for. Where none of it is, there is no token: a client then asks its
   * user for credentials.
   */
  async function issueToNobody(request: TokenRequest) {
    requireService(request);
    const access = await grant(context, NOBODY, parseScopes(request.scopes, defaultOrg));
    if (asksForCatalog(request.scopes) && (await context.everybodys?.anyPublic()) === true) access.push(CATALOG_ACCESS);
    if (access.length === 0) {
      throw unauthorized("a token needs credentials: Basic, with an API key or a workload's token as password");
    }
    const now = authenticator.now();
    return answered(authenticator.tokens.issue({ subject: NOBODY.id, epoch: 0, access, now, notAfter: null }));
  }

  async function issue(actor: Actor, request: TokenRequest) {
    requireService(request);
    // The epoch is read before the credential is looked at again and before the roles: what is taken away in between voids the token.
    const principal = await findPrincipal(reader, actor.id);
    const key = actor.credential.id === undefined ? undefined : await findKey(reader, actor.credential.id);
    const revoked = await credentialRefusal(reader, actor);
    if (principal === undefined || revoked !== undefined) throw unauthorized("the credentials are not valid any more");
    const access = await grant(context, actor, parseScopes(request.scopes, defaultOrg));
    // A token says nothing of what its key is bound to but its repositories: over a whole catalogue it cannot be bound.
    if (asksForCatalog(request.scopes) && (await keyScope(reader, actor)) === undefined) access.push(CATALOG_ACCESS);
    const issued = authenticator.tokens.issue({
      subject: actor.id,
      epoch: principal.epoch,
      access,
      workload: actor.credential.workload,
      key: key?.id,
      now: authenticator.now(),
      notAfter: key?.expires_time ?? actor.credential.expires ?? null,
    });
    return { answer: answered(issued), access };
  }

  void app.register(async (door) => {
    door.addContentTypeParser(
      "application/x-www-form-urlencoded",
      { parseAs: "string", bodyLimit: FORM_LIMIT },
      (_request, body, done) => done(null, new URLSearchParams(String(body))),
    );
    door.setErrorHandler((error, request, reply) => {
      if (error instanceof Problem) return answerProblem(reply, error);
      const seconds = retryAfter(error);
      if (seconds !== undefined && error instanceof ServerError) {
        const headers = { "retry-after": String(seconds) };
        return answerProblem(reply, new Problem(503, error.code, error.message, { headers }));
      }
      const status = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
      if (status >= 400 && status < 500 && error instanceof Error) {
        return answerProblem(reply, new Problem(status, "request-invalid", error.message));
      }
      request.log.error({ err: error }, "request failed");
      return answerProblem(reply, new Problem(500, "internal", "the server could not do this; its log says why"));
    });

    door.get(TOKEN_PATH, { schema: { hide: true } }, async (request, reply) => {
      const actor = await authenticator.authenticate(request.headers);
      if (actor?.credential.kind === "registry-token") throw unauthorized("a registry token buys no other token");
      const query = new URL(request.url, "http://localhost").searchParams;
      const asked = { service: query.get("service"), scopes: query.getAll("scope") };
      if (actor === undefined) {
        return await reply.header("cache-control", "no-store").send(await issueToNobody(asked));
      }
      const { answer, access } = await issue(actor, asked);
      note(request, { granted: formatScopes(access).slice(0, 1_000) });
      return await reply.header("cache-control", "no-store").send(answer);
    });

    door.post(TOKEN_PATH, { schema: { hide: true } }, async (request, reply) => {
      const form = request.body;
      if (!(form instanceof URLSearchParams)) {
        throw new Problem(400, "request-invalid", "a token request is a form (application/x-www-form-urlencoded)");
      }
      const actor = await formActor(authenticator, form);
      authenticator.identified(request.headers, actor);
      const { answer, access } = await issue(actor, { service: form.get("service"), scopes: form.getAll("scope") });
      note(request, { granted: formatScopes(access).slice(0, 1_000) });
      return await reply
        .header("cache-control", "no-store")
        .send({ ...answer, token_type: "Bearer", scope: formatScopes(access) });
    });
  });
}

/** Who asks, by a form. An API key or a workload's token serves as a refresh token: clients that keep one keep that. */
async function formActor(authenticator: Authenticator, form: URLSearchParams): Promise<Actor> {
  switch (form.get("grant_type")) {
    case "password":
      return await authenticator.withPassword(form.get("username") ?? "", form.get("password") ?? "");
    case "refresh_token":
      return await authenticator.withPassword("", form.get("refresh_token") ?? "");
    default:
      throw new Problem(400, "grant-unsupported", "grant_type is neither password nor refresh_token");
  }
}

function unauthorized(message: string): Problem {
  return new Problem(401, "unauthorized", message, { headers: { "www-authenticate": 'Basic realm="assay"' } });
}
