import { canonicalJson, isJsonArray, isJsonObject, type JsonValue, parseJson, utf8Encode } from "@assay/evidence";
import { createHash } from "node:crypto";
import { ServerError } from "../errors.ts";
import type { EventDefinition, SameShape } from "./command.ts";
import { decodeEnvelope, liftEvent, MAX_EVENT_BYTES } from "./event.ts";

/** What stands in the place of a string when nothing else is asked for. */
export const REDACTED = "[redacted]";

/** A string of an event to be replaced. */
export interface FieldRedaction {
  /** JSON pointer (RFC 6901) into the whole event: `/actor`, or `/body/…`. */
  readonly pointer: string;
  readonly replacement: string;
}

/** An event with strings replaced, and what was replaced. */
export interface RedactedBytes {
  readonly bytes: Uint8Array;
  /** Lower-case hex SHA-256 of `bytes`: what the redaction event names them by. */
  readonly digest: string;
  readonly fields: readonly { readonly pointer: string; readonly former: string; readonly replacement: string }[];
}

/** A replacement says of itself that it is one: nobody takes it for what was recorded. */
const SAYS_SO = /redacted/;

/** What names bytes or keys: 64 hexadecimal digits and more. */
const DIGEST = /[0-9a-f]{64}/;

/** Lower-case hex SHA-256 of an event's bytes. */
export function bytesDigest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Replaces strings of an event: the same envelope (but for the actor's name, where that is asked for), the same members, other words.
 * Pure; the result is canonical JSON, as every event is.
 *
 * @param definition what the event's type lets be redacted; undefined when the type is not known here.
 * @throws ServerError `redaction-invalid`, naming the pointer, when it leads to no string, the string may not be redacted, or its
 *   replacement may not stand there; `event-invalid` when the result would be no event of its type.
 */
export function redactBytes(
  sequence: number,
  bytes: Uint8Array,
  fields: readonly FieldRedaction[],
  definition: EventDefinition | undefined,
): RedactedBytes {
  const envelope = decodeEnvelope(bytes);
  const replaced: { pointer: string; former: string; replacement: string }[] = [];
  let event = parseJson(bytes, { maxBytes: MAX_EVENT_BYTES, maxDepth: 64 });
  for (const { pointer, replacement } of fields) {
    const refuse = (problem: string, hint?: string): never => {
      const where = `event ${sequence} (${envelope.type}), ${pointer}`;
      throw new ServerError("redaction-invalid", `${where}: ${problem}`, hint === undefined ? {} : { hint });
    };
    const path = parsePointer(pointer);
    if (path === undefined) return refuse("this is no JSON pointer (RFC 6901)", "write it like /body/name");
    if (replaced.some((other) => other.pointer === pointer)) return refuse("it is given twice");
    const former = stringAt(event, path);
    if (former === undefined) return refuse("there is no string at this place");
    const sameShape = shapeAt(path, definition);
    if (sameShape === undefined) {
      return refuse(
        "it may not be redacted: verification, access or a decision rests on it",
        `of events of this type may be redacted: ${redactablePlaces(definition).join(" ")}`,
      );
    }
    if (DIGEST.test(former)) return refuse("it names bytes or a key, and may not be redacted");
    if (!SAYS_SO.test(replacement) || !sameShape(replacement, former)) {
      return refuse(
        `${JSON.stringify(replacement)} cannot stand there`,
        `give a replacement of the same shape that holds the word "redacted": SEQUENCE:${pointer}=REPLACEMENT`,
      );
    }
    // So already: nothing to take down. What was asked for twice is done once.
    if (former === replacement) continue;
    event = replaceAt(event, path, replacement);
    replaced.push({ pointer, former, replacement });
  }
  const result = utf8Encode(canonicalJson(event));
  // Every program that reads the event later lifts it the same way: what does not lift now never will.
  liftEvent(sequence, decodeEnvelope(result), definition);
  return { bytes: result, digest: bytesDigest(result), fields: replaced };
}

/** The places of a type's events that may be redacted, for people. */
export function redactablePlaces(definition: EventDefinition | undefined): string[] {
  return ["/actor", ...Object.keys(definition?.redactable ?? {}).map((place) => `/body${place}`)];
}

/** The reference tokens of a JSON pointer (RFC 6901, sections 3 and 4); undefined when it is none. */
export function parsePointer(pointer: string): string[] | undefined {
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) return undefined;
  return pointer
    .slice(1)
    .split("/")
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function memberOf(value: JsonValue | undefined, token: string): JsonValue | undefined {
  if (isJsonArray(value)) return /^(?:0|[1-9]\d*)$/.test(token) ? value[Number(token)] : undefined;
  return isJsonObject(value) && Object.hasOwn(value, token) ? value[token] : undefined;
}

function stringAt(event: JsonValue, path: readonly string[]): string | undefined {
  const found = path.reduce<JsonValue | undefined>(memberOf, event);
  return typeof found === "string" ? found : undefined;
}

function replaceAt(value: JsonValue, path: readonly string[], replacement: string): JsonValue {
  const [token, ...rest] = path;
  if (token === undefined) return replacement;
  const inner = memberOf(value, token);
  if (inner === undefined) throw new ServerError("internal", "a pointer that led to a string leads nowhere now");
  const next = replaceAt(inner, rest, replacement);
  if (isJsonArray(value)) return value.map((item, index) => (index === Number(token) ? next : item));
  return { ...(isJsonObject(value) ? value : {}), [token]: next };
}

/** Whether and how the string at a path may be replaced, by the type's own word; the actor's name in every type. */
function shapeAt(path: readonly string[], definition: EventDefinition | undefined): SameShape | undefined {
  if (definition === undefined) return undefined;
  const [root, ...rest] = path;
  if (root === "actor" && rest.length === 0) return sameActorKind;
  if (root !== "body" || definition.redactable === undefined) return undefined;
  for (const [pattern, sameShape] of Object.entries(definition.redactable)) {
    const tokens = parsePointer(pattern) ?? [];
    if (tokens.length === rest.length && tokens.every((token, index) => token === "*" || token === rest[index])) {
      return sameShape;
    }
  }
  return undefined;
}

/** A person stays a person, an organisation's service account one of the same organisation; `admin` and `system` name nobody. */
function sameActorKind(replacement: string, former: string): boolean {
  const place = /^(person:|service:[^/]*\/)(?=.)/;
  const kind = place.exec(former)?.[0];
  return (
    kind !== undefined && place.exec(replacement)?.[0] === kind && /^[a-z0-9._-]+$/.test(replacement.slice(kind.length))
  );
}
