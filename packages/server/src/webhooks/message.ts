import { canonicalJson, type JsonObject, utf8Encode } from "@assay/evidence";
import { ServerError } from "../errors.ts";
import { packageUrl } from "../signals/package-url.ts";
import type { WebhookFormat } from "./endpoint.ts";
import type { Fact } from "./fact.ts";
import { WEBHOOK_LIMITS } from "./limits.ts";

/** What happened, where and when: what both forms of a message are written from. */
export interface Occurrence {
  readonly org: string;
  /** Stable: the same event has the same id at every delivery, to whomever. */
  readonly id: string;
  /** The event's sequence; undefined for what is not in the record (a test). */
  readonly sequence: number | undefined;
  /** ms. */
  readonly time: number;
  readonly actor: string;
  readonly fact: Pick<Fact, "type" | "repository" | "subject" | "data">;
}

/** The id of an event's message: the organisation and the event's sequence in the record. */
export function messageId(org: string, sequence: number): string {
  return `${org}/${sequence}`;
}

/** The CDEvents specification our events keep to (cdevents.dev, v0.5.1). */
const CDEVENTS_VERSION = "0.5.1";

/** Our own facts that CDEvents has a type for. The others are custom events (CDEvents, "Custom events"): `dev.cdeventsx.assay-…`. */
const CDEVENTS: ReadonlyMap<string, string> = new Map([
  ["artifact.pushed", "dev.cdevents.artifact.published.0.3.0"],
  ["artifact.deleted", "dev.cdevents.artifact.deleted.0.2.0"],
]);

/** The CloudEvents type of a fact in a format. */
export function messageType(format: WebhookFormat, type: string): string {
  if (format === "cloudevents") return `dev.assay.${type}`;
  return CDEVENTS.get(type) ?? `dev.cdeventsx.assay-${type}.0.1.0`;
}

/**
 * A message's body: a CloudEvent in structured mode (CloudEvents 1.0.2 §3; JSON event format §3; HTTP binding §3.2).
 *
 * In the format `cdevents` its data is a CDEvent, and id, source, type, subject and time are the CDEvent's (CDEvents, "CloudEvents binding").
 *
 * @param publicUrl the server's address.
 * @throws ServerError `webhook-failed` when it is larger than a message may be.
 */
export function messageBody(format: WebhookFormat, occurrence: Occurrence, publicUrl: string): Uint8Array {
  const { org, id, sequence, fact, actor } = occurrence;
  const source = `${publicUrl.replace(/\/+$/, "")}/api/assay/v1/orgs/${org}`;
  const time = new Date(occurrence.time).toISOString();
  const type = messageType(format, fact.type);
  const told: JsonObject = { ...fact.data, org, actor, ...(sequence === undefined ? {} : { sequence }) };
  const { digest } = fact.data;
  const named =
    CDEVENTS.has(fact.type) && fact.repository !== null && typeof digest === "string"
      ? packageUrl(new URL(publicUrl).host, fact.repository, digest)
      : fact.subject;
  const subject = format === "cdevents" ? named : fact.subject;
  const data: JsonObject =
    format === "cloudevents"
      ? told
      : {
          context: { specversion: CDEVENTS_VERSION, id, source, type, timestamp: time },
          subject: { id: subject, source, content: CDEVENTS.has(fact.type) ? { user: actor } : told },
          ...(CDEVENTS.has(fact.type) ? { customData: told, customDataContentType: "application/json" } : {}),
        };
  const body = utf8Encode(
    canonicalJson({
      specversion: "1.0",
      id,
      source,
      type,
      subject,
      time,
      datacontenttype: "application/json",
      // The extension "Sequence": its texts sort as the events came.
      ...(sequence === undefined ? {} : { sequence: String(sequence).padStart(16, "0") }),
      data,
    }),
  );
  if (body.length > WEBHOOK_LIMITS.bodyBytes) {
    throw new ServerError("webhook-failed", `the message has ${body.length} bytes, more than a message may have`);
  }
  return body;
}
