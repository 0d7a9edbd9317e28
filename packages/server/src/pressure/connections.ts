import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import { ServerError } from "../errors.ts";

/** How long a connection that is one too many may take to ask something and hear why it is refused, ms. */
const REFUSAL_MS = 5_000;

/** Connections that are refused in words at once; more are closed without. */
const REFUSALS = 256;

/** Requests one process has under way at most, for each connection it may have: clients may send several without waiting. */
const REQUESTS_PER_CONNECTION = 4;

/**
 * Bounds connections and requests under way. A connection beyond the limit is heard out, so that its request is answered with why it is
 * refused; those beyond that are closed at once.
 */
export class Connections {
  readonly #limit: number;
  readonly #refused = new WeakSet<object>();
  #open = 0;
  #refusing = 0;
  #requests = 0;

  /** @param limit connections; 0: no limit. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get open(): number {
    return this.#open;
  }

  /** Requests under way. */
  get requests(): number {
    return this.#requests;
  }

  /** Watches a server's connections from its start. */
  watch(server: HttpServer | HttpsServer): void {
    // Node closes what is beyond this without a word: nothing of it reaches the process's own code.
    if (this.#limit > 0) server.maxConnections = this.#limit + REFUSALS;
    // A TLS connection can be told something only when it is secure; until then Node's handshake timeout bounds it.
    server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) =>
      this.#opened(socket),
    );
  }

  #opened(socket: Socket): void {
    const refused = this.#limit > 0 && this.#open - this.#refusing >= this.#limit;
    this.#open += 1;
    if (refused) {
      this.#refusing += 1;
      this.#refused.add(socket);
    }
    const timer = refused ? setTimeout(() => socket.destroy(), REFUSAL_MS).unref() : undefined;
    socket.once("close", () => {
      clearTimeout(timer);
      this.#open -= 1;
      if (refused) this.#refusing -= 1;
    });
  }

  /** Whether a connection is one too many. */
  isRefused(socket: object): boolean {
    return this.#refused.has(socket);
  }

  /**
   * Admits a request that came through `socket`.
   *
   * @returns what is called at its end.
   * @throws ServerError `connections-full`; the connection should be closed with the answer.
   */
  admit(socket: object): () => void {
    if (this.isRefused(socket)) throw full(`the server has its ${this.#limit} connections`);
    if (this.#limit > 0 && this.#requests >= this.#limit * REQUESTS_PER_CONNECTION) {
      throw full(`${this.#requests} requests are under way`);
    }
    this.#requests += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#requests -= 1;
    };
  }
}

function full(message: string): ServerError {
  return new ServerError("connections-full", message, { hint: "try again in a moment" });
}
