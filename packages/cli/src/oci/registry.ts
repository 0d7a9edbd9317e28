import { CliError, Exit } from "../errors.ts";
import { LOGIN_HINT } from "../http.ts";
import { isLoopback } from "../server-address.ts";
import { exitOfStatus, type Incoming, type Outgoing, type Transport } from "../transport.ts";
import { parseChallenges } from "./challenge.ts";
import { type Credentials, DOCKER_HUB } from "./credentials.ts";

/** What a request needs to be allowed to do in its repository. */
export type Access = "pull" | "pull,push";

/** A request below "/v2/<repository>/"; or to an absolute `url` the registry has named (an upload's Location). */
export type RegistryRequest = {
  readonly method: Outgoing["method"];
  readonly path: string | URL;
  readonly access: Access;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Outgoing["body"];
};

const MAX_ANSWER = 1 << 20;
const MAX_REDIRECTS = 5;

/**
 * One repository of one registry (OCI distribution-spec 1.1): finds out how to reach it and how to authenticate, sends
 * requests, follows the redirects of reads. Credentials go only to the registry's own origin and, by the token
 * protocol, to the realm it names, which must be https (plain http on loopback only).
 */
export class Registry {
  readonly host: string;
  readonly repository: string;
  readonly #transport: Transport;
  readonly #credentials: () => Promise<Credentials | undefined>;
  readonly #own: string | undefined;
  #base: Promise<{ origin: string; challenge: string | undefined }> | undefined;
  readonly #authorization = new Map<Access, string>();

  /** `own`: the origin of the configured server, where this is its registry; it is then reached there and nowhere else. */
  constructor(
    host: string,
    repository: string,
    transport: Transport,
    credentials: () => Promise<Credentials | undefined>,
    own?: string,
  ) {
    this.host = host;
    this.repository = repository;
    this.#transport = transport;
    this.#credentials = credentials;
    this.#own = own;
  }

  /** What to do where the registry wants a login, or refuses the one it got. */
  loginHint(hasCredentials: boolean): string {
    if (this.#own !== undefined) return LOGIN_HINT;
    const login = `\`docker login ${this.host}\``;
    return hasCredentials ? `The credentials kept for it were refused: log in again with ${login}.` : `Run ${login}.`;
  }

  /**
   * Sends a request, authenticating as the registry demands; the caller judges the status. A streamed body is sent once:
   * if that answers 401 the caller repeats it, with the new token in place. Errors: `network`, `registry-login`.
   */
  async send(request: RegistryRequest): Promise<Incoming> {
    const { origin, challenge } = await this.#reach();
    if (challenge !== undefined && !this.#authorization.has(request.access))
      await this.#authorize(challenge, request.access);
    let answer = await this.#sendOnce(origin, request);
    if (answer.status !== 401) return answer;
    await this.#authorize(answer.header("www-authenticate"), request.access);
    if (request.body !== undefined && typeof request.body !== "string" && !(request.body instanceof Uint8Array))
      return answer;
    await answer.discard();
    answer = await this.#sendOnce(origin, request);
    return answer;
  }

  /** The absolute form of a Location header of this registry. Errors: `registry-protocol`. */
  async locate(location: string | undefined): Promise<URL> {
    const { origin } = await this.#reach();
    const url = location === undefined || !URL.canParse(location, origin) ? undefined : new URL(location, origin);
    if (url === undefined || !isAcceptable(url, origin)) {
      throw protocolError(this.host, "it named no usable place for the upload");
    }
    return url;
  }

  async #sendOnce(origin: string, request: RegistryRequest): Promise<Incoming> {
    let url = request.path instanceof URL ? request.path : new URL(`${origin}/v2/${this.repository}/${request.path}`);
    for (let redirects = 0; ; redirects += 1) {
      const authorization = url.origin === origin ? this.#authorization.get(request.access) : undefined;
      const answer = await this.#transport.send({
        method: request.method,
        url,
        headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
        ...(request.body === undefined ? {} : { body: request.body }),
      });
      const isRead = request.method === "GET" || request.method === "HEAD";
      if (!isRead || ![301, 302, 303, 307, 308].includes(answer.status)) return answer;
      const location = answer.header("location");
      await answer.discard();
      if (location === undefined || !URL.canParse(location, url.href) || redirects >= MAX_REDIRECTS) {
        throw protocolError(this.host, "it redirects to nowhere or for ever");
      }
      url = new URL(location, url);
      if (!isAcceptable(url, origin)) throw protocolError(this.host, "it redirects to an address that is not https");
    }
  }

  /** Asks `GET /v2/` once: the configured server as configured; others over https, on loopback over plain http too. */
  #reach(): Promise<{ origin: string; challenge: string | undefined }> {
    this.#base ??= this.#ping().catch((error: unknown) => {
      this.#base = undefined;
      throw error;
    });
    return this.#base;
  }

  async #ping(): Promise<{ origin: string; challenge: string | undefined }> {
    if (this.#own !== undefined) {
      const found = await this.#pingAt(new URL(this.#own));
      if (found === undefined) throw protocolError(this.#own, "it does not answer as a registry does");
      return found;
    }
    const host = this.host === DOCKER_HUB ? "registry-1.docker.io" : this.host;
    const secure = new URL(`https://${host}`);
    // On loopback plain http is tried first, so that nothing waits for a TLS handshake with a server that speaks none; a
    // server that speaks TLS there answers plain http with an error and is asked again.
    if (isLoopback(secure.hostname)) {
      const plain = new URL(`http://${host}`);
      const found = await this.#pingAt(plain).catch((error: unknown) => {
        if (error instanceof CliError && isRefused(error)) throw error;
        return undefined;
      });
      if (found !== undefined) return found;
    }
    const found = await this.#pingAt(secure);
    if (found === undefined) throw protocolError(this.host, "it does not answer as a registry does");
    return found;
  }

  async #pingAt(origin: URL): Promise<{ origin: string; challenge: string | undefined } | undefined> {
    const answer = await this.#transport.send({ method: "GET", url: new URL("/v2/", origin) });
    const challenge = answer.header("www-authenticate");
    await answer.discard();
    if (answer.status === 401 && challenge !== undefined) return { origin: origin.origin, challenge };
    if (answer.status === 200) return { origin: origin.origin, challenge: undefined };
    if (answer.status >= 500 || answer.status === 429) {
      throw new CliError("registry-unavailable", `${this.host} answered with status ${answer.status}`, {
        exit: Exit.unknown,
        hint: "Try again later.",
      });
    }
    return undefined;
  }

  async #authorize(header: string | undefined, access: Access): Promise<void> {
    const challenges = parseChallenges(header ?? "");
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      this.#authorization.set(access, `Bearer ${await this.#fetchToken(bearer.parameters, access)}`);
      return;
    }
    const credentials = await this.#credentials();
    if (challenges.some(({ scheme }) => scheme === "basic") && credentials?.kind === "password") {
      this.#authorization.set(access, basic(credentials));
    }
  }

  /** The token protocol (distribution-spec "token authentication"): GET, or POST to exchange an identity token. */
  async #fetchToken(parameters: ReadonlyMap<string, string>, access: Access): Promise<string> {
    const { origin } = await this.#reach();
    const realm = parameters.get("realm");
    if (realm === undefined || !URL.canParse(realm))
      throw protocolError(this.host, "it asks for a token but not where");
    const url = new URL(realm);
    if (!isAcceptable(url, origin))
      throw protocolError(this.host, "it asks for a token at an address that is not https");
    const scope = `repository:${this.repository}:${access}`;
    const service = parameters.get("service");
    const credentials = await this.#credentials();
    let answer: Incoming;
    if (credentials?.kind === "identity-token") {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        client_id: "assay",
        scope,
        refresh_token: credentials.token,
      });
      if (service !== undefined) form.set("service", service);
      answer = await this.#transport.send({
        method: "POST",
        url,
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: form.toString(),
      });
    } else {
      if (service !== undefined) url.searchParams.set("service", service);
      url.searchParams.set("scope", scope);
      answer = await this.#transport.send({
        method: "GET",
        url,
        headers: credentials === undefined ? {} : { authorization: basic(credentials) },
      });
    }
    const body = await answer.bytes(MAX_ANSWER);
    if (answer.status !== 200) {
      throw new CliError(
        "registry-login",
        `${this.host} gave no access to ${this.repository} (status ${answer.status})`,
        {
          exit: exitOfStatus(answer.status),
          hint: this.loginHint(credentials !== undefined),
        },
      );
    }
    const token = tokenOf(body);
    if (token === undefined) throw protocolError(this.host, "its token service gave no token");
    return token;
  }
}

/** The error for a status the caller did not expect; reads the answer's body, which holds the registry's own words. */
export async function registryError(registry: Registry, what: string, answer: Incoming): Promise<CliError> {
  const body = await answer.bytes(MAX_ANSWER);
  const { status } = answer;
  const said = registrySaid(body);
  const words = said === undefined ? `status ${status}` : `${said.message} (${said.code})`;
  const name = `${registry.host}/${registry.repository}`;
  if (status === 401) {
    return new CliError("registry-login", `${what}: ${name} asks to log in`, {
      exit: Exit.unknown,
      hint: registry.loginHint(false),
    });
  }
  if (status === 404) {
    return new CliError("registry-not-found", `${what}: not found in ${name}`, {
      exit: Exit.no,
      hint: "Check the name, and that you may read it: what you may not see looks missing.",
    });
  }
  const code =
    status === 403 ? "registry-denied" : status >= 500 || status === 429 ? "registry-unavailable" : "registry-refused";
  return new CliError(code, `${what}: ${name} said ${words}`, {
    exit: exitOfStatus(status) === Exit.usage ? Exit.no : exitOfStatus(status),
    // The registry's own words say whether it is a right that is missing, or a release tag that never moves.
    hint:
      status === 403 && said === undefined ? "Ask the owner of the repository for the right to do this." : undefined,
  });
}

/** The registry broke the protocol: there is no answer to be had from it. */
export function protocolError(host: string, why: string): CliError {
  return new CliError("registry-protocol", `${host} does not keep to the registry protocol: ${why}`, {
    exit: Exit.unknown,
  });
}

/** https anywhere; plain http only on this machine, or where the registry itself is spoken to in plain http. */
function isAcceptable(url: URL, origin: string): boolean {
  return url.protocol === "https:" || (url.protocol === "http:" && (isLoopback(url.hostname) || url.origin === origin));
}

function isRefused(error: CliError): boolean {
  return error.cause instanceof Error && "code" in error.cause && error.cause.code === "ECONNREFUSED";
}

function basic(credentials: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, "utf8").toString("base64")}`;
}

function tokenOf(body: Buffer): string | undefined {
  const parsed = parseJsonObject(body);
  const token = parsed?.token ?? parsed?.access_token;
  // Nothing but visible ASCII may go into a header.
  return typeof token === "string" && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
}

function registrySaid(body: Buffer): { code: string; message: string } | undefined {
  const errors = parseJsonObject(body)?.errors;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  if (typeof first !== "object" || first === null) return undefined;
  const { code, message } = first as { code?: unknown; message?: unknown };
  return {
    code: typeof code === "string" ? code : "UNKNOWN",
    message: typeof message === "string" && message !== "" ? message : "no",
  };
}

function parseJsonObject(body: Buffer): Record<string, unknown> | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : undefined;
}
