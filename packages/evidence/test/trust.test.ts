import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  formatTrustFile,
  formatVkey,
  matchesRepository,
  parseTrustFile,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { entryFor, keyOf, trustIn } from "./virtual.ts";

describe("repository patterns", () => {
  test.each<[string, string, boolean]>([
    ["**", "acme/app", true],
    ["acme/app", "acme/app", true],
    ["acme/app", "acme/app2", false],
    ["acme/app", "acme/app/x", false],
    ["acme/*", "acme/app", true],
    ["acme/*", "acme/a/b", false],
    ["acme/**", "acme/a/b/c", true],
    ["acme/**", "acme", true],
    ["acme/**", "acmeevil/app", false],
    ["**/app", "a/b/app", true],
    ["**/app", "app", true],
    ["**/app", "a/b/myapp", false],
    ["a/**/z", "a/z", true],
    ["a/**/z", "a/b/z/z", true],
    ["a/**/z", "a/b/zz", false],
    ["acme/app-*", "acme/app-1", true],
    ["acme/*-*-x", "acme/a-b-c-x", true],
    ["acme/a.p", "acme/axp", false],
    ["acme/[a]", "acme/a", false],
    ["*", "acme/app", false],
    ["", "acme/app", false],
  ])("%s on %s: %s", (pattern, repository, matches) => {
    expect(matchesRepository([pattern], repository)).toBe(matches);
  });

  test("without a repository only ** matches", () => {
    expect(matchesRepository(["**"], undefined)).toBe(true);
    expect(matchesRepository(["*", "**/**", "acme/**"], undefined)).toBe(false);
  });

  test("no pattern takes long", () => {
    const pattern = `${"**/*a*a*a*a/".repeat(20)}b`;
    const start = performance.now();
    expect(matchesRepository([pattern.slice(0, 255)], "a/".repeat(127))).toBe(false);
    expect(performance.now() - start).toBeLessThan(200);
  });

  test("agrees with the obvious regular expression", () => {
    const part = fc.constantFrom("**", "*", "a", "b", "a*", "*b", "ab");
    const component = fc.constantFrom("a", "b", "ab", "aab", "abb");
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 5 }),
        fc.array(component, { minLength: 1, maxLength: 5 }),
        (parts, path) => {
          const source = parts.map((p) => (p === "**" ? "(?:[^/]+/)*" : `${p.replaceAll("*", "[^/]*")}/`)).join("");
          const expected = new RegExp(`^${source}$`).test(`${path.join("/")}/`);
          expect(matchesRepository([parts.join("/")], path.join("/"))).toBe(expected);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("a trust file", () => {
  const log = formatVkey("log.example", 1, keyOf("log", "ed25519").publicKey.spki.slice(-32));
  const trust: TrustVersion = {
    ...trustIn(entryFor(keyOf("a")), entryFor(keyOf("b"), { validFrom: 5, validUntil: 9, primary: true })),
    logs: [log],
  };
  const altered = (
    change: (json: Record<string, unknown> & { entries: Record<string, unknown>[] }) => void,
  ): Uint8Array => {
    const json = JSON.parse(utf8Decode(formatTrustFile(trust))) as Parameters<typeof change>[0];
    change(json);
    return utf8Encode(JSON.stringify(json));
  };

  test("is read back as it was written", () => {
    expect(parseTrustFile(formatTrustFile(trust))).toEqual(trust);
  });

  test.each<[string, Parameters<typeof altered>[0]]>([
    ["an unknown member", (json) => Object.assign(json, { extra: 1 })],
    ["another media type", (json) => Object.assign(json, { mediaType: "application/json" })],
    ["no version", (json) => delete json.version],
    ["a fractional version", (json) => Object.assign(json, { version: 1.5 })],
    ["an unknown member in an entry", (json) => Object.assign(json.entries[0] ?? {}, { revoked: true })],
    ["another entry's key id", (json) => Object.assign(json.entries[0] ?? {}, { keyId: json.entries[1]?.keyId })],
    ["no key", (json) => Object.assign(json.entries[0] ?? {}, { publicKeyPem: "" })],
    ["a repeated id", (json) => Object.assign(json.entries[0] ?? {}, { id: json.entries[1]?.id })],
    ["no scope", (json) => delete json.entries[0]?.scope],
    ["an unbounded end left out", (json) => delete json.entries[0]?.validUntil],
    ["a date as text", (json) => Object.assign(json.entries[0] ?? {}, { validFrom: "2026" })],
    ["primary left out", (json) => delete json.entries[0]?.primary],
    ["a log key that is none", (json) => Object.assign(json, { logs: ["log"] })],
  ])("with %s is refused", (_, change) => {
    expect(() => parseTrustFile(altered(change))).toThrow(code("trust-invalid"));
  });
});
