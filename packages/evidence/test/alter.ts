/** Every way to alter one field of a JSON document: dropped, repeated, renamed, and made other in small and large ways. */
import { utf8Decode, utf8Encode } from "../src/index.ts";

type Path = readonly (string | number)[];
/** A document with one field altered. */
export type Alteration = { path: string; change: string; bundle: Uint8Array };

function textOf(path: Path): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .slice(1);
}

/** Every place in a JSON value, the root excluded. */
function* places(value: unknown, path: Path = []): Generator<{ path: Path; value: unknown }> {
  if (path.length > 0) yield { path, value };
  if (Array.isArray(value)) for (const [i, element] of value.entries()) yield* places(element, [...path, i]);
  else if (typeof value === "object" && value !== null) {
    for (const [key, member] of Object.entries(value)) yield* places(member, [...path, key]);
  }
}

/** The JSON text with the value at `path` written by `write` instead, which sees the place's key and text. */
function rewritten(value: unknown, path: Path, write: (keyed: string, text: string) => string): string {
  const [head, ...rest] = path;
  if (head === undefined) throw new Error("the root is not rewritten");
  const parts = Array.isArray(value)
    ? value.map((element: unknown, i): [string | number, string, unknown] => [i, "", element])
    : Object.entries(value as object).map(([key, member]): [string | number, string, unknown] => [
        key,
        `${JSON.stringify(key)}:`,
        member,
      ]);
  const texts = parts.map(([key, keyed, member]) => {
    if (key !== head) return keyed + JSON.stringify(member);
    return rest.length === 0 ? write(keyed, JSON.stringify(member)) : keyed + rewritten(member, rest, write);
  });
  const inside = texts.filter((text) => text !== "").join(",");
  return Array.isArray(value) ? `[${inside}]` : `{${inside}}`;
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** What can be put in a value's place: other values of its type, of other types, and other spellings of its base64. */
function* replacements(value: unknown): Generator<[string, unknown]> {
  yield ["nulled", null];
  yield ["made a number", 7];
  yield ["made a boolean", true];
  yield ["made an array", [value]];
  yield ["made an object", { value }];
  if (typeof value !== "string") {
    yield ["made a string", "text"];
    return;
  }
  yield ["emptied", ""];
  yield ["appended", `${value}x`];
  yield ["prefixed", `x${value}`];
  yield ["cut", value.slice(0, -1)];
  yield ["doubled", value + value];
  yield ["upper-cased", value.toUpperCase()];
  yield ["given a space", `${value} `];
  yield ["given a newline", `${value}\n`];
  yield ["given a NUL", `${value}\0`];
  // One character at a time: all of a short value, a sample of a long one, its first and last quantum always.
  const step = Math.max(1, Math.floor(value.length / 40));
  const sampled = Array.from(value, (_, i) => i).filter((i) => i % step === 0 || i < 4 || i >= value.length - 6);
  for (const i of sampled) {
    const character = value[i] ?? "";
    yield [`altered at ${i}`, value.slice(0, i) + (character === "A" ? "B" : "A") + value.slice(i + 1)];
    const digit = BASE64.indexOf(character);
    // The neighbour of the last digit differs in trailing bits only, which a lax decoder throws away.
    if (digit >= 0)
      yield [`altered by one bit at ${i}`, value.slice(0, i) + (BASE64[digit ^ 1] ?? "") + value.slice(i + 1)];
  }
  yield ["split by a newline", `${value.slice(0, 4)}\n${value.slice(4)}`];
  yield ["without padding", value.replaceAll("=", "")];
  yield ["with more padding", `${value}=`];
  yield ["in base64url", value.replaceAll("+", "-").replaceAll("/", "_")];
}

/** Each alteration of a document, named by the path of the field and what was done to it. */
export function* alterations(bundle: Uint8Array): Generator<Alteration> {
  const json: unknown = JSON.parse(utf8Decode(bundle));
  const make = (path: Path, change: string, write: (keyed: string, text: string) => string): Alteration => ({
    path: textOf(path),
    change,
    bundle: utf8Encode(rewritten(json, path, write)),
  });
  for (const { path, value } of places(json)) {
    const isElement = typeof path.at(-1) === "number";
    yield make(path, "dropped", () => "");
    // In an object the text repeats the member; in an array it repeats the element.
    yield make(path, "duplicated", (keyed, text) => `${keyed}${text},${keyed}${text}`);
    if (!isElement) {
      yield make(path, "duplicated as null first", (keyed, text) => `${keyed}null,${keyed}${text}`);
      yield make(path, "duplicated as null last", (keyed, text) => `${keyed}${text},${keyed}null`);
      yield make(path, "renamed", (keyed, text) => `${keyed.replace(/":$/, 'X":')}${text}`);
      yield make(path, "joined by an unknown member", (keyed, text) => `"unknown":1,${keyed}${text}`);
    }
    for (const [change, replacement] of replacements(value)) {
      const text = JSON.stringify(replacement);
      if (text !== JSON.stringify(value)) yield make(path, change, (keyed) => keyed + text);
    }
  }
}
