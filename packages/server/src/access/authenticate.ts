import { hash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance } from "fastify";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import type { Keyring } from "../keys/keyring.ts";
import type { RecordClient } from "../record/client.ts";
import type { Actor } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { equalHashes, hashSecret, parseApiKey } from "./api-key.ts";
import { credentialRefusal } from "./authorize.ts";
import { bootstrapUseCounter } from "./bootstrap-use.ts";
import { ANONYMOUS, denialCounter } from "./denials.ts";
import type { HourCounter } from "./hour-counter.ts";
import { BOOTSTRAP_ADMIN } from "./names.ts";
import { findKey } from "./queries.ts";
import { RegistryTokens } from "./registry-token.ts";
import { WorkloadTokens } from "./workload-token.ts";

/** The longest Authorization header that is looked at, bytes. */
const MAX_AUTHORIZATION = 16 * 1024;

/** Compared with when there is no such key, so that an unknown id costs what a known one costs. It is no secret's hash. */
const NO_HASH = "0".repeat(64);

/** The headers of a request, as far as this room looks at them. */
export interface RequestHeaders {
  readonly authorization?: string | undefined;
}

export interface AuthenticatorOptions {
  readonly reader: Reader;
  /** Takes the counts of refusals, and of the bootstrap admin's requests. */
  readonly record: Pick<RecordClient, "operate">;
  readonly keyring: Pick<Keyring, "key" | "sign" | "has">;
  readonly publicUrl: string;
  /** The bootstrap admin's token. Only its hash is kept. */
  readonly adminToken: string;
  /** The clock, ms since the epoch. */
  readonly now?: () => number;
}

/**
 * Says who a request comes from. Bearer: the admin token, an API key, a workload's token, or a registry token; Basic: `admin` with the admin
 * token, or any user name with an API key or a workload's token. Every secret is compared by its SHA-256 hash in constant time, and every answer follows from the record
 * as it is now: a revoked key is dead at once.
 */
export class Authenticator {
  readonly tokens: RegistryTokens;
  readonly workloadTokens: WorkloadTokens;
  readonly #reader: Reader;
  readonly #publicUrl: string;
  readonly #adminHash: Buffer;
  readonly #now: () => number;
  readonly #denials: HourCounter;
  readonly #bootstrapUses: HourCounter;
  /** Who each request in flight turned out to be, by its headers object. */
  readonly #identities = new WeakMap<object, Actor>();

  constructor(options: AuthenticatorOptions) {
    if (options.adminToken.length < 16) {
      throw new ServerError("config-invalid", "the admin token has fewer than 16 characters", {
        hint: "set ASSAY_ADMIN_TOKEN, or delete the admin-token file to have a new one made",
      });
    }
    this.#reader = options.reader;
    this.#publicUrl = options.publicUrl;
    this.#adminHash = sha256(options.adminToken);
    this.#now = options.now ?? Date.now;
    this.#denials = denialCounter(options.record, this.#now);
    this.#bootstrapUses = bootstrapUseCounter(options.record, this.#now);
    this.tokens = new RegistryTokens(options.keyring, options.publicUrl);
    this.workloadTokens = new WorkloadTokens(options.keyring, options.publicUrl);
  }

  /** The authenticator's clock, ms. */
  now(): number {
    return this.#now();
  }

  /**
   * Who a request comes from; undefined when it brings no credentials.
   *
   * @param reader of whom it is asked what stands: the database as it is now.
   * @throws Problem 401 `unauthorized` when it brings some that are not good. The answer never tells an unknown key from a wrong secret.
   */
  async authenticate(headers: RequestHeaders, reader = this.#reader): Promise<Actor | undefined> {
    if (headers.authorization === undefined) return undefined;
    const actor = await this.#fromHeader(headers.authorization, reader);
    this.identified(headers, actor);
    return actor;
  }

  /** Says who a request comes from that brought its credentials elsewhere than in its headers. */
  identified(headers: RequestHeaders, actor: Actor): void {
    this.#identities.set(headers, actor);
  }

  /** @throws Problem 401 `unauthorized`. */
  async withPassword(user: string, password: string, reader = this.#reader): Promise<Actor> {
    // The admin token is good under its own name only; an API key says itself whose it is.
    const isAdmin = this.#isAdminToken(password);
    if (isAdmin && user === BOOTSTRAP_ADMIN) return await this.#standing(ADMIN_ACTOR, reader);
    if (password.includes(".")) return await this.#withWorkloadToken(password, reader);
    return await this.#withKey(password, reader);
  }

  /** @throws Problem 401 `unauthorized`. */
  async withToken(token: string, reader = this.#reader): Promise<Actor> {
    const dotted = token.includes(".");
    // First, for they come most often: nothing that we signed is the admin token.
    const actor = dotted ? await this.tokens.verify(token, this.#now()) : undefined;
    if (actor !== undefined) return await this.#standing(actor, reader);
    if (this.#isAdminToken(token)) return await this.#standing(ADMIN_ACTOR, reader);
    return dotted ? await this.#withWorkloadToken(token, reader) : await this.#withKey(token, reader);
  }

  /** Who sent a request that {@link authenticate} has seen; its own name for nobody otherwise. */
  identityOf(headers: RequestHeaders): string {
    return this.#identities.get(headers)?.id ?? ANONYMOUS;
  }

  /** Who sent a request that {@link authenticate} has seen, and by which credential. */
  actorOf(headers: RequestHeaders): Actor | undefined {
    return this.#identities.get(headers);
  }

  /** Counts a refused request (see {@link countDenials}). */
  denied(headers: RequestHeaders, route: string): void {
    this.#denials.count(this.identityOf(headers), route);
  }

  /** Counts a request that came under the bootstrap admin's token, or under a registry token bought with it. */
  bootstrapUsed(route: string): void {
    this.#bootstrapUses.count(BOOTSTRAP_ADMIN, route);
  }

  /** Writes down what was counted so far. */
  async flush(): Promise<void> {
    await this.#denials.flush();
    await this.#bootstrapUses.flush();
  }

  async #fromHeader(authorization: string, reader: Reader): Promise<Actor> {
    if (authorization.length > MAX_AUTHORIZATION) throw this.#unauthorized("the Authorization header is too long");
    // RFC 9110 §11.4: scheme, spaces, credentials; schemes are case-insensitive.
    const [, scheme, credentials] = /^([A-Za-z]+) +([!-~]+)$/.exec(authorization) ?? [];
    if (scheme === undefined || credentials === undefined) {
      throw this.#unauthorized("the Authorization header is neither `Bearer <token>` nor `Basic <base64>`");
    }
    switch (scheme.toLowerCase()) {
      case "bearer":
        return await this.withToken(credentials, reader);
      case "basic": {
        const [user, password] = this.#readBasic(credentials);
        return await this.withPassword(user, password, reader);
      }
      default:
        throw this.#unauthorized(`there is no authentication scheme ${JSON.stringify(scheme)} here`);
    }
  }

  /** RFC 7617: base64 of UTF-8 `user:password`; the user name holds no colon. */
  #readBasic(credentials: string): [string, string] {
    const bytes = Buffer.from(credentials, "base64");
    const text = bytes.toString("utf8");
    const colon = text.indexOf(":");
    if (colon < 0 || bytes.toString("base64") !== credentials.padEnd(Math.ceil(credentials.length / 4) * 4, "=")) {
      throw this.#unauthorized("the Basic credentials are not base64 of `user:password`");
    }
    return [text.slice(0, colon), text.slice(colon + 1)];
  }

  #isAdminToken(token: string): boolean {
    return timingSafeEqual(sha256(token), this.#adminHash);
  }

  async #withWorkloadToken(token: string, reader: Reader): Promise<Actor> {
    const actor = await this.workloadTokens.verify(token, this.#now());
    if (actor === undefined) throw this.#unauthorized("the token is not valid, or not any more");
    return await this.#standing(actor, reader);
  }

  async #withKey(text: string, reader: Reader): Promise<Actor> {
    const presented = parseApiKey(text);
    // What is no key at all is told from keys by its form, which is no secret.
    if (presented === undefined) throw this.#unauthorized("the credentials are not valid");
    const key = await findKey(reader, presented.id);
    const matches = equalHashes(hashSecret(presented.secret), key?.secret_hash ?? NO_HASH);
    if (key === undefined || !matches) throw this.#unauthorized("the credentials are not valid");
    // From here on the bearer holds the secret, and may be told more.
    if (key.expires_time !== null && key.expires_time <= this.#now()) {
      throw this.#unauthorized(`the API key ${key.id} expired at ${new Date(key.expires_time).toISOString()}`);
    }
    return await this.#standing({ id: key.principal, credential: { kind: "api-key", id: key.id } }, reader);
  }

  async #standing(actor: Actor, reader: Reader): Promise<Actor> {
    const refusal = await credentialRefusal(reader, actor);
    if (refusal !== undefined) throw this.#unauthorized(refusal.message, refusal.hint);
    return actor;
  }

  #unauthorized(
    message: string,
    hint = "send an API key: `Authorization: Bearer assay_…`, or Basic with it as password",
  ) {
    return new Problem(401, "unauthorized", message, {
      hint,
      headers: { "www-authenticate": `Bearer realm="${this.#publicUrl}"` },
    });
  }
}

const ADMIN_ACTOR: Actor = { id: BOOTSTRAP_ADMIN, credential: { kind: "admin-token" } };

function sha256(text: string): Buffer {
  return hash("sha256", text, "buffer");
}

/**
 * Who a request to the own API comes from. A registry token is no credential here.
 *
 * @throws Problem 401 `unauthorized`.
 */
export async function requireActor(
  authenticator: Authenticator,
  request: { readonly headers: RequestHeaders },
): Promise<Actor> {
  const actor = await authenticator.authenticate(request.headers);
  if (actor === undefined) {
    throw new Problem(401, "unauthorized", "this needs a credential", {
      hint: "send an API key: `Authorization: Bearer assay_…`",
      headers: { "www-authenticate": "Bearer" },
    });
  }
  if (actor.credential.kind === "registry-token") {
    throw new Problem(401, "unauthorized", "a registry token is good at the registry (/v2/) only", {
      hint: "send the API key itself",
      headers: { "www-authenticate": "Bearer" },
    });
  }
  return actor;
}

/** Problems that say "there is no such thing that you may see" of what access guards, and that need no status to say it. */
const HIDDEN: ReadonlySet<string> = new Set([
  "org-unknown",
  "principal-unknown",
  "key-unknown",
  "workload-identity-unknown",
  "exchange-refused",
  "decision-unknown",
  "event-unknown",
]);

/**
 * Counts every request of `app` that access refused: per identity, route and hour. Called on the whole application before its doors
 * are registered. A 401 to a request without credentials is a step of the protocol and no refusal.
 */
export function countDenials(app: FastifyInstance, authenticator: Authenticator): void {
  app.addHook("onError", async (request, _reply, error) => {
    if (!(error instanceof Problem)) return;
    const refused =
      error.status === 403 ||
      (error.status === 401 && request.headers.authorization !== undefined) ||
      HIDDEN.has(error.code);
    if (refused) authenticator.denied(request.headers, `${request.method} ${request.routeOptions.url ?? "(none)"}`);
  });
}

/**
 * Counts every request of `app` that came under the bootstrap admin's token, whatever became of it. Called on the whole application before
 * its doors are registered.
 */
export function countBootstrapUses(app: FastifyInstance, authenticator: Authenticator): void {
  app.addHook("onResponse", (request, _reply, done) => {
    if (authenticator.identityOf(request.headers) === BOOTSTRAP_ADMIN) {
      authenticator.bootstrapUsed(`${request.method} ${request.routeOptions.url ?? "(none)"}`);
    }
    done();
  });
}
