/**
 * Issue acceptance: every field of a bundle altered, dropped or duplicated in turn is refused, or stands on the list below.
 * The walk is generic over the JSON, so a field that a later version learns to read is covered on the day it is written.
 */
import { describe, expect, test } from "vitest";
import { type Digest, parsePublicKeyPem, utf8Decode, utf8Encode } from "../src/index.ts";
import { fixtureBytes } from "./fixtures.ts";
import { artifactOf, changed, entryFor, keyOf, messageBundle, outcomeOf, statementBundle, trustIn } from "./virtual.ts";

/** The reviewed list. `path` ends in "**" to mean everything below; `change` is how the walk names what it did. */
const fieldsNoVerdictDependsOn: readonly { path: string; changes: readonly string[]; reason: string }[] = [
  {
    path: "verificationMaterial.publicKey.hint",
    changes: ["dropped", "emptied"],
    reason: "It only chooses which trusted key to try. Without it all are tried; the signature decides either way.",
  },
  {
    path: "dsseEnvelope.signatures[0].keyid",
    changes: ["dropped", "emptied"],
    reason: "A second hint at the same key (DSSE: an unauthenticated hint). If it is there and not empty, it must fit.",
  },
  {
    path: "verificationMaterial.tlogEntries**",
    changes: ["*"],
    reason:
      "Log entries are not evaluated in this version and prove nothing: the verdict says so in `notEvaluated`, and no proven time comes of them.",
  },
  {
    path: "verificationMaterial.timestampVerificationData**",
    changes: ["*"],
    reason:
      "RFC 3161 timestamps are not evaluated in this version, as above. Proven times reach verify() from its caller only.",
  },
];

type Path = readonly (string | number)[];
type Alteration = { path: string; change: string; bundle: Uint8Array };

function textOf(path: Path): string {
  return path
    .map((part) => (typeof part === "number" ? `[${part}]` : `.${part}`))
    .join("")
    .slice(1);
}

function isListed({ path, change }: Alteration): boolean {
  return fieldsNoVerdictDependsOn.some((field) => {
    const covers = field.path.endsWith("**") ? path.startsWith(field.path.slice(0, -2)) : path === field.path;
    return covers && (field.changes.includes("*") || field.changes.includes(change));
  });
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

function* alterations(bundle: Uint8Array): Generator<Alteration> {
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

async function unexpectedlyVerified(
  bundle: Uint8Array,
  artifact: Digest,
  trust: ReturnType<typeof trustIn>,
  artifactBytes?: Uint8Array,
): Promise<{ count: number; passed: string[]; listed: Set<string> }> {
  const passed: string[] = [];
  const listed = new Set<string>();
  let count = 0;
  const more = artifactBytes === undefined ? {} : { artifactBytes };
  for (const alteration of alterations(bundle)) {
    count++;
    if ((await outcomeOf(alteration.bundle, artifact, trust, more)) !== "verified") continue;
    const name = `${alteration.path} ${alteration.change}`;
    if (isListed(alteration)) listed.add(name);
    else passed.push(name);
  }
  return { count, passed, listed };
}

const { bytes: artifactBytes, digest: artifact } = artifactOf();
const key = keyOf("build");
// A second trusted key, so that a changed hint has somewhere to lead.
const trust = trustIn(entryFor(key), entryFor(keyOf("second")));

describe("no alteration of a bundle verifies, but those on the list:", () => {
  test("DSSE, as cosign and we write it", async () => {
    const { count, passed, listed } = await unexpectedlyVerified(await statementBundle(key, artifact), artifact, trust);
    expect(passed).toEqual([]);
    expect(count).toBeGreaterThan(400);
    expect([...listed]).toEqual([
      "verificationMaterial.publicKey.hint dropped",
      "verificationMaterial.publicKey.hint emptied",
    ]);
  });

  test("DSSE with every optional member", async () => {
    const bundle = changed(await statementBundle(key, artifact), (json) => {
      for (const signature of json.dsseEnvelope.signatures) signature.keyid = key.publicKey.keyId;
      json.verificationMaterial.tlogEntries = [
        { logIndex: "1", inclusionProof: { hashes: ["AAAA"] }, canonicalizedBody: "AAAA" },
      ];
      json.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: "AAAA" }] };
    });
    const { passed, listed } = await unexpectedlyVerified(bundle, artifact, trust);
    expect(passed).toEqual([]);
    expect(listed.size).toBeGreaterThan(4);
  });

  test("a message signature, checked from the digest", async () => {
    const { count, passed } = await unexpectedlyVerified(await messageBundle(key, artifactBytes), artifact, trust);
    expect(passed).toEqual([]);
    expect(count).toBeGreaterThan(300);
  });

  test("a message signature, checked from the bytes", async () => {
    const bundle = await messageBundle(key, artifactBytes);
    expect((await unexpectedlyVerified(bundle, artifact, trust, artifactBytes)).passed).toEqual([]);
  });

  test.each(["ed25519", "rsa-pkcs1-sha256", "ecdsa-p384-sha384"] as const)(
    "a message signature with %s",
    async (algorithm) => {
      const signer = keyOf("build", algorithm);
      const bundle = await messageBundle(signer, artifactBytes);
      const { passed } = await unexpectedlyVerified(
        bundle,
        artifact,
        trustIn(entryFor(signer), entryFor(key)),
        artifactBytes,
      );
      expect(passed).toEqual([]);
    },
  );

  test("a bundle that cosign wrote is as tight as ours", async () => {
    const { digest } = artifactOf("hello assay\n");
    const publicKeyPem = new TextDecoder().decode(fixtureBytes("cosign.pub"));
    const trusted = trustIn(entryFor(key, { publicKeyPem, keyId: parsePublicKeyPem(publicKeyPem).keyId }));
    for (const name of ["attest-blob.p256.bundle", "sign-blob.p256.bundle"]) {
      expect(await outcomeOf(fixtureBytes(name), digest, trusted)).toBe("verified");
      expect((await unexpectedlyVerified(fixtureBytes(name), digest, trusted)).passed).toEqual([]);
    }
  });
});

test("the list names no change that is in fact refused, and gives each its reason", async () => {
  expect(fieldsNoVerdictDependsOn.length).toBeLessThanOrEqual(4);
  const bundle = changed(await statementBundle(key, artifact), (json) => {
    for (const signature of json.dsseEnvelope.signatures) signature.keyid = key.publicKey.keyId;
    json.verificationMaterial.tlogEntries = [{ logIndex: "1" }];
    json.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: "AAAA" }] };
  });
  const { listed } = await unexpectedlyVerified(bundle, artifact, trust);
  for (const { path, reason } of fieldsNoVerdictDependsOn) {
    expect(reason.length).toBeGreaterThan(40);
    expect([...listed].some((name) => name.startsWith(path.replace("**", "")))).toBe(true);
  }
});
