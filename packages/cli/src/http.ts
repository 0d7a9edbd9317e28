import { CliError, Exit } from "./errors.ts";
import type { JsonValue } from "./output.ts";
import { clean } from "./output.ts";
import type { Session } from "./session.ts";
import { requireServer } from "./settings.ts";
import { exitOfStatus, type Incoming, type Outgoing, type Transport } from "./transport.ts";

/** A request to the server's own API. `path` starts with "/" and is below the server's address. */
export type ApiRequest = {
  readonly method: Outgoing["method"];
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly json?: JsonValue;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, under the Content-Type (and of a stream the Content-Length) in `headers`; instead of `json`. */
  readonly body?: Exclude<Outgoing["body"], undefined>;
};

/** What to do where the server does not take the token, or wants one. */
export const LOGIN_HINT = "Set ASSAY_TOKEN to a valid token, or run `assay login`.";

const MAX_ANSWER = 64 << 20;
const MAX_ERROR = 1 << 20;

/** A client of the server's own API: JSON in and out, Bearer authentication, typed errors. */
export class ServerClient {
  readonly server: string;
  readonly #token: string | undefined;
  readonly #transport: Transport;

  /** `server` is a normalised address (settings.ts). */
  constructor(server: string, token: string | undefined, transport: Transport) {
    this.server = server;
    this.#token = token;
    this.#transport = transport;
  }

  /** Sends a request and parses the JSON answer (undefined for an empty one). Errors: see `send`; `answer-invalid`. */
  async json(request: ApiRequest): Promise<JsonValue | undefined> {
    const answer = await this.send(request);
    const bytes = await answer.bytes(MAX_ANSWER);
    if (bytes.length === 0) return undefined;
    const parsed = parseObject(bytes);
    if (parsed === undefined) {
      throw new CliError("answer-invalid", `${this.server} did not answer with JSON`, {
        exit: Exit.unknown,
        hint: "Check that the address is that of an Assay server.",
      });
    }
    return parsed.value;
  }

  /**
   * Sends a request; the caller reads the body. Errors: `network` (exit 3), and for a status of 300 or more the server's
   * own code, message and hint, or `http-<status>` where it gave none. No error holds the token.
   */
  async send(request: ApiRequest): Promise<Incoming> {
    const url = new URL(`${this.server}${request.path}`);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const headers: Record<string, string> = { accept: "application/json", ...request.headers };
    if (this.#token !== undefined) headers.authorization = `Bearer ${this.#token}`;
    let { body } = request;
    if (request.json !== undefined) {
      headers["content-type"] = "application/json";
      body = JSON.stringify(request.json);
    }
    const answer = await this.#transport.send({
      method: request.method,
      url,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw serverError(this.server, answer.status, await answer.bytes(MAX_ERROR));
  }
}

/** The client for the server this run is set up for. Errors: `server-missing`. */
export async function serverClient(session: Session): Promise<ServerClient> {
  const settings = await session.settings();
  const server = requireServer(settings);
  return new ServerClient(server, await settings.token(), await session.transport());
}

/** The error in an answer's body: `{"error":{"code","message","hint"}}`. */
export function serverError(server: string, status: number, body: Uint8Array): CliError {
  const parsed = parseObject(body)?.value;
  const error = isObject(parsed) && isObject(parsed.error) ? parsed.error : {};
  const code = typeof error.code === "string" ? error.code : `http-${status}`;
  const message = typeof error.message === "string" ? error.message : `${server} answered with status ${status}`;
  // Of a refused token the server speaks in terms of HTTP headers, which is not what a person here can change.
  const hint = status !== 401 && typeof error.hint === "string" ? error.hint : defaultHint(status);
  return new CliError(clean(code), message, { exit: exitOfStatus(status), hint });
}

function defaultHint(status: number): string | undefined {
  if (status === 401) return LOGIN_HINT;
  if (status === 403) return "Ask an administrator of the organisation for the right to do this.";
  if (status === 404) return "It does not exist, or you may not see it.";
  if (status === 429) return "Wait a little, then try again.";
  return status >= 500 ? "Try again; if it goes on, look at the server's log." : undefined;
}

function parseObject(body: Uint8Array): { value: JsonValue } | undefined {
  try {
    return { value: JSON.parse(Buffer.from(body).toString("utf8")) as JsonValue };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isObject(value: JsonValue | undefined): value is { readonly [key: string]: JsonValue | undefined } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
