/** Which names an authority may not vouch for, where OpenSSL and we need not agree: what cannot be compared is refused. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { parseCertificate, verifyChain } from "../src/index.ts";
import { contextTag, derValue } from "../src/der.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";
import {
  alternativeNames,
  authorityOf,
  basicConstraints,
  CA_USAGE,
  codeSigningChain,
  extension,
  FULCIO,
  general,
  type Holder,
  issue,
  integer,
  NOW,
  nameConstraints,
  nameOf,
  parsed,
  rootTerms,
  SIGNING_USAGE,
  sequence,
  type Terms,
  text,
} from "./virtual-ca.ts";

async function outcomeOf(leaf: Holder, ...authority: Holder[]): Promise<string> {
  const result = await verifyChain(nodeCrypto, {
    leaf: parsed(leaf),
    intermediates: [],
    authorities: [authorityOf(...authority)],
    time: NOW,
    purpose: "any",
  });
  return result.ok ? "ok" : result.code;
}

function under(constraints: Uint8Array, leaf: Partial<Terms>): Promise<string> {
  const chain = codeSigningChain({
    intermediate: { extensions: [basicConstraints(true, 0), CA_USAGE, constraints] },
    leaf: { extensions: [SIGNING_USAGE], ...leaf },
  });
  return outcomeOf(chain.leaf, chain.intermediate, chain.root);
}

const named = (...names: Uint8Array[]): Partial<Terms> => ({ extensions: [SIGNING_USAGE, alternativeNames(...names)] });
const INVALID = "certificate-invalid";

describe("constraints on hosts", () => {
  const permitted = nameConstraints([general.dns("example.com")]);
  const below = nameConstraints([general.dns(".example.com")]);
  const none = nameConstraints([], [general.dns("")]);

  test.each([
    ["the host itself", permitted, "example.com", "ok"],
    ["one below it", permitted, "a.b.example.com", "ok"],
    ["in other letters", permitted, "A.EXAMPLE.COM", "ok"],
    ["one that only ends alike", permitted, "anexample.com", INVALID],
    ["a wildcard, which may mean either", permitted, "*.example.com", INVALID],
    ["a trailing dot", permitted, "example.com.", INVALID],
    ["an empty label", permitted, "a..example.com", INVALID],
    ["one below, where only those are meant", below, "a.example.com", "ok"],
    ["the host itself, where those below are meant", below, "example.com", INVALID],
    ["any, where all are excluded", none, "example.org", INVALID],
  ])("%s", async (_, constraints, host, answer) => {
    expect(await under(constraints, named(general.dns(host)))).toBe(answer);
  });

  test("say nothing of other kinds of name", async () => {
    expect(await under(permitted, named(general.email("a@example.org")))).toBe("ok");
  });

  test("hold for each of several names", async () => {
    expect(await under(permitted, named(general.dns("example.com"), general.dns("example.org")))).toBe(INVALID);
  });
});

describe("constraints on mailboxes", () => {
  const host = nameConstraints([general.email("example.com")]);
  const below = nameConstraints([general.email(".example.com")]);
  const one = nameConstraints([general.email("ci@example.com")]);

  test.each([
    ["of the host", host, "a@EXAMPLE.com", "ok"],
    ["of a host below", host, "a@x.example.com", INVALID],
    ["of a host below, where those are meant", below, "a@x.example.com", "ok"],
    ["the one", one, "ci@example.com", "ok"],
    ["in other letters, which another host may take for another mailbox", one, "CI@example.com", INVALID],
    ["with a quoted part", host, '"a@evil.org"@example.com', INVALID],
    ["with two signs", host, "a@evil.org@example.com", INVALID],
    ["without a host", host, "a", INVALID],
  ])("%s", async (_, constraints, mailbox, answer) => {
    expect(await under(constraints, named(general.email(mailbox)))).toBe(answer);
  });

  test("hold for addresses in the subject too", async () => {
    expect(await under(host, { name: ["emailAddress=a@example.com"] })).toBe("ok");
    expect(await under(host, { name: ["emailAddress=a@example.org"] })).toBe(INVALID);
  });
});

describe("constraints on URIs", () => {
  const host = nameConstraints([general.uri("example.com")]);
  test.each([
    ["of the host", "https://example.com/a", "ok"],
    ["with port and user", "https://u@example.com:443", "ok"],
    ["of another", "https://example.org/", INVALID],
    ["with the host as user of another", "https://example.com@example.org/", INVALID],
    ["with two users", "https://a@example.com@example.org/", INVALID],
    ["with an address", "https://127.0.0.1/", INVALID],
    ["with an address of version 6", "https://[::1]/", INVALID],
    ["without a host", "urn:example.com", INVALID],
  ])("%s", async (_, uri, answer) => {
    expect(await under(host, named(general.uri(uri)))).toBe(answer);
  });
});

describe("constraints on subjects, addresses and other names", () => {
  test("a subject must begin with all of the permitted name", async () => {
    const constraints = nameConstraints([general.directory(nameOf(["O=Acme", "OU=CI"]))]);
    expect(await under(constraints, { name: ["O=Acme", "OU=CI", "CN=x"] })).toBe("ok");
    expect(await under(constraints, { name: ["OU=CI", "O=Acme"] })).toBe(INVALID);
    expect(await under(constraints, { name: ["O=Acme"] })).toBe(INVALID);
    // RFC 5280 §4.2.1.10: the empty subject is under no constraint.
    expect(await under(constraints, { name: [] })).toBe("ok");
  });

  test("no exclusion is evaded by letters, blanks or a string type", async () => {
    const constraints = nameConstraints([], [general.directory(nameOf(["O=Acme Inc"]))]);
    for (const organisation of ["Acme Inc", "ACME INC", " Acme  Inc ", "\uff21cme Inc"]) {
      expect(await under(constraints, { name: [`O=${organisation}`] })).toBe(INVALID);
    }
    const alter = (fields: Uint8Array[]): Uint8Array[] => fields.with(5, nameOf(["O=Acme Inc"], 0x13));
    expect(await under(constraints, { alter })).toBe(INVALID);
    expect(await under(constraints, { name: ["O=Acme"] })).toBe("ok");
  });

  test("networks", async () => {
    const constraints = nameConstraints([general.ip(10, 1, 0, 0, 255, 255, 0, 0)]);
    expect(await under(constraints, named(general.ip(10, 1, 2, 3)))).toBe("ok");
    expect(await under(constraints, named(general.ip(10, 2, 2, 3)))).toBe(INVALID);
    expect(await under(constraints, named(general.ip(...new Uint8Array(16))))).toBe(INVALID);
  });

  test("a kind that is constrained and cannot be compared is refused; one that is not constrained is not", async () => {
    const user = general.other(`${FULCIO}7`, text(0x0c, "user!example.com"));
    expect(await under(nameConstraints([user]), named(user))).toBe(INVALID);
    expect(await under(nameConstraints([user]), named(general.dns("example.com")))).toBe("ok");
    expect(await under(nameConstraints([general.dns("example.com")]), named(user))).toBe("ok");
  });
});

test("the root's constraints reach through all that is below it, but for its own successors", async () => {
  const constrained = [basicConstraints(true), CA_USAGE, nameConstraints([general.directory(nameOf(["O=Right"]))])];
  const root = issue({ ...rootTerms("Constrained"), extensions: constrained });
  const extensions = [basicConstraints(true), CA_USAGE];
  const successor = issue({ ...rootTerms("Constrained", keyOf("constrained 2")), issuer: root, extensions });
  const wrong = issue({ name: ["O=Wrong"], issuer: root, extensions });
  const leafOf = (issuer: Holder, organisation: string): Holder =>
    issue({ name: [`O=${organisation}`], key: keyOf("ca leaf"), issuer, extensions: [SIGNING_USAGE] });
  expect(await outcomeOf(leafOf(successor, "Right"), successor, root)).toBe("ok");
  expect(await outcomeOf(leafOf(successor, "Wrong"), successor, root)).toBe(INVALID);
  expect(await outcomeOf(leafOf(wrong, "Right"), wrong, root)).toBe(INVALID);
});

test("constraints that cannot be read make the certificate unreadable", () => {
  const withValue = (value: Uint8Array) => () =>
    parseCertificate(issue({ ...rootTerms("Odd"), extensions: [extension("2.5.29.30", value, true)] }).der);
  const permitted = (...subtree: Uint8Array[]): Uint8Array =>
    sequence(derValue(contextTag(0, true), sequence(...subtree)));
  expect(withValue(permitted(general.dns("example.com")))).not.toThrow();
  expect(withValue(sequence())).toThrow(code(INVALID));
  expect(withValue(permitted(general.ip(10, 0, 0, 0)))).toThrow(code(INVALID));
  expect(withValue(permitted(text(0x0c, "x")))).toThrow(code(INVALID));
  expect(withValue(permitted(general.dns("a b")))).toThrow(code(INVALID));
  // A minimum or maximum distance: RFC 5280 knows none.
  expect(
    withValue(permitted(general.dns("example.com"), derValue(contextTag(0, false), integer(1).subarray(2)))),
  ).toThrow(code(INVALID));
});
