import { canonicalJson, type JsonValue, parseJson, utf8Encode } from "@assay/evidence";
import { z } from "zod";
import { ServerError } from "../errors.ts";
import type { EventDefinition, JsonObject, RecordedEvent } from "./command.ts";

/** An event is at most this many bytes: larger things are blobs that an event names. */
export const MAX_EVENT_BYTES = 4 * 1024 * 1024;

/** The envelope of an event as recorded. `v` is the body's version; `prev` chains the events of one organisation. */
const envelopeSchema = z.strictObject({
  type: z.string(),
  v: z.int().positive(),
  org: z.string(),
  orgSeq: z.int().nonnegative(),
  prev: z.union([z.null(), z.string().regex(/^[0-9a-f]{64}$/)]),
  actor: z.string(),
  time: z.int().nonnegative(),
  body: z.record(z.string(), z.unknown()),
});

export type EventEnvelope = z.output<typeof envelopeSchema>;

/**
 * The bytes of a new event: JCS (RFC 8785), UTF-8. These bytes are what is committed to, stored and shown; nothing ever encodes
 * them again.
 *
 * @throws ServerError `event-too-large` above {@link MAX_EVENT_BYTES}.
 */
export function encodeEvent(event: EventEnvelope & { readonly body: JsonObject }): Uint8Array {
  const bytes = utf8Encode(canonicalJson(event));
  if (bytes.length > MAX_EVENT_BYTES) {
    throw new ServerError("event-too-large", `an event of type ${event.type} has ${bytes.length} bytes`, {
      hint: `events are at most ${MAX_EVENT_BYTES} bytes`,
    });
  }
  return bytes;
}

/** Reads an event's bytes. @throws ServerError `event-invalid` when they are not an event. */
export function decodeEnvelope(bytes: Uint8Array): EventEnvelope {
  let value: JsonValue;
  try {
    value = parseJson(bytes, { maxBytes: MAX_EVENT_BYTES, maxDepth: 64 });
  } catch (cause) {
    throw new ServerError("event-invalid", "stored event bytes are not JSON", { cause });
  }
  const parsed = envelopeSchema.safeParse(value);
  if (!parsed.success) {
    throw new ServerError("event-invalid", `stored event bytes are not an event: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

/** Lifts an event to its newest version and types its body. @throws ServerError `event-unknown`, `event-invalid`. */
export function liftEvent(
  sequence: number,
  envelope: EventEnvelope,
  definition: EventDefinition | undefined,
): RecordedEvent<never> {
  if (definition === undefined || envelope.v > definition.version) {
    throw new ServerError("event-unknown", `event ${sequence} is of type ${envelope.type} version ${envelope.v}`, {
      hint: "this program is older than the data: start the version that wrote it",
    });
  }
  let body = envelope.body as JsonObject;
  for (let version = envelope.v; version < definition.version; version += 1) {
    const lift = definition.upcast[version];
    if (lift === undefined) {
      throw new ServerError("event-unknown", `no way from version ${version} of ${envelope.type} to the next`);
    }
    body = lift(body);
  }
  const parsed = definition.body.safeParse(body);
  if (!parsed.success) {
    throw new ServerError("event-invalid", `event ${sequence} (${envelope.type}): ${z.prettifyError(parsed.error)}`);
  }
  return {
    sequence,
    org: envelope.org,
    orgSequence: envelope.orgSeq,
    type: envelope.type,
    actor: envelope.actor,
    time: envelope.time,
    body: parsed.data as never,
  };
}
