/** Somebody who is told: a plain HTTP server on loopback that keeps what comes and answers as a test says. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request that came. */
export interface Received {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Its body's members. */
  readonly event: Record<string, unknown>;
}

export interface Receiver {
  readonly url: string;
  /** `127.0.0.1:<port>`: what ASSAY_EGRESS_PRIVATE names. */
  readonly host: string;
  readonly received: Received[];
  /** How the next requests are answered; 204 when it is undefined. */
  answer: ((response: ServerResponse, request: Received) => void) | undefined;
  /** Resolves when `count` requests have come. */
  until(count: number, ms?: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString("utf8");
      const event = JSON.parse(body) as Record<string, unknown>;
      const one = { method: request.method ?? "", headers: request.headers, body, event };
      received.push(one);
      if (receiver.answer === undefined) response.writeHead(204).end();
      else receiver.answer(response, one);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const receiver: Receiver = {
    url: `http://${host}/hook`,
    host,
    received,
    answer: undefined,
    async until(count, ms = 15_000) {
      const end = performance.now() + ms;
      while (received.length < count) {
        if (performance.now() > end) throw new Error(`${received.length} of ${count} messages came in ${ms} ms`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async stop() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return receiver;
}

/** Ids of what came, in order. */
export function idsOf(receiver: Receiver): unknown[] {
  return receiver.received.map(({ event }) => event["id"]);
}

/**
 * Whether one of a message's signatures is of this secret, by Standard Webhooks 1.0 and WebCrypto: written from the specification, and with
 * nothing of the server's.
 */
export async function isSigned(message: Received, secret: string): Promise<boolean> {
  const bytes = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  const header = (name: string): string => String(message.headers[name]);
  const content = `${header("webhook-id")}.${header("webhook-timestamp")}.${message.body}`;
  if (Math.abs(Number(header("webhook-timestamp")) - Date.now() / 1000) > 300) return false;
  for (const signature of header("webhook-signature").split(" ")) {
    const [version, mac] = signature.split(",");
    if (version !== "v1" || mac === undefined) continue;
    const good = await crypto.subtle.verify("HMAC", key, Buffer.from(mac, "base64"), Buffer.from(content));
    if (good) return true;
  }
  return false;
}
