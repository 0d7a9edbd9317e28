import { guardedRequest } from "../egress/guarded-request.ts";
import { type EgressRules, type Resolve, shownUrl } from "../egress/permitted-place.ts";
import { ServerError } from "../errors.ts";
import type { Keyring } from "../keys/keyring.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";
import { messageBody, type Occurrence } from "./message.ts";
import type { WebhookRow } from "./queries.ts";
import { secretBytes, secretsInForce, signatureHeaders } from "./secret.ts";

/** What messages are sent with. */
export interface Sender {
  readonly keyring: Keyring;
  readonly egress: EgressRules;
  readonly publicUrl: string;
  readonly now: () => number;
  /** ms; for tests. */
  readonly timeoutMs?: number;
  readonly resolve?: Resolve;
}

/** What came of one request. */
export interface Sent {
  /** Whether it was taken: an answer of 200 to 299. */
  readonly taken: boolean;
  /** The answer's status; null when there was none. */
  readonly status: number | null;
  /** Why it was not taken, without the URL's path; null when it was. */
  readonly error: string | null;
  /** How long it asked to be left alone (RFC 9110 §10.2.3), ms, as far as that is granted; 0 when it did not. */
  readonly restMs: number;
}

/**
 * Sends one message to an endpoint: signed, through the egress guard, once. Nothing of an answer but its status is read, so that nobody
 * learns through us what an address has to say. Never rejects because of the endpoint.
 *
 * @throws ServerError `webhook-failed`, `key-missing`: what is wrong on our side.
 */
export async function send(sender: Sender, webhook: WebhookRow, occurrence: Occurrence): Promise<Sent> {
  const { keyring, egress, publicUrl, now, timeoutMs = WEBHOOK_LIMITS.timeoutMs, resolve } = sender;
  const body = messageBody(webhook.format, occurrence, publicUrl);
  const sentAt = now();
  const secrets = secretsInForce(webhook, sentAt).map((id) => secretBytes(keyring, webhook.org, id));
  const signed = { id: occurrence.id, timestamp: Math.floor(sentAt / 1000), body };
  const headers = {
    "content-type": "application/cloudevents+json; charset=utf-8",
    ...signatureHeaders(signed, secrets),
  };
  try {
    const { status, headers: answered } = await guardedRequest(
      webhook.url,
      egress,
      { method: "POST", headers, body, wantsBody: () => false },
      { timeoutMs, maxBytes: 0 },
      resolve,
    );
    if (status >= 200 && status < 300) return { taken: true, status, error: null, restMs: 0 };
    const redirects = status >= 300 && status < 400;
    const error = redirects ? `it redirects (${status}), which is not followed` : `it answered ${status}`;
    return { taken: false, status, error, restMs: restAsked(answered["retry-after"], now()) };
  } catch (error) {
    if (!(error instanceof ServerError) || !error.code.startsWith("egress-")) throw error;
    return { taken: false, status: null, error: withoutPath(error.message, webhook.url), restMs: 0 };
  }
}

/**
 * How long a Retry-After asks to wait, ms: a number of seconds or a date (RFC 9110 §10.2.3). What is neither is none, and nobody is granted
 * more than {@link WEBHOOK_LIMITS.longestRestMs}.
 */
export function restAsked(header: string | undefined, now: number): number {
  const text = header?.trim() ?? "";
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) - now : 0;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), WEBHOOK_LIMITS.longestRestMs) : 0;
}

/** An error as it is kept and logged: of the URL only its origin, because people put tokens into paths. */
function withoutPath(message: string, address: string): string {
  const url = new URL(address);
  return message.replaceAll(shownUrl(url), url.origin).replaceAll("\0", "").slice(0, WEBHOOK_LIMITS.errorLength);
}
