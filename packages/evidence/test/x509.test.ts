/** What is read in a certificate, with Node's reader as second opinion, and what is refused. */
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  EvidenceError,
  fromHex,
  LIMITS,
  parseCertificate,
  parseCertificatePem,
  parseCertificatesPem,
  utf8Encode,
  verifyChain,
} from "../src/index.ts";
import { contextTag, DerReader, derValue, TAG_BIT_STRING, TAG_BOOLEAN, TAG_INTEGER } from "../src/der.ts";
import { nameText, parseName } from "../src/x509-name.ts";
import { damages } from "./der-damage.ts";
import { code } from "./failure.ts";
import { fixture } from "./fixtures.ts";
import { keyOf } from "./virtual.ts";
import {
  alternativeNames,
  authorityOf,
  basicConstraints,
  codeSigningChain,
  extendedKeyUsage,
  extension,
  FULCIO,
  general,
  issue,
  leafExtensions,
  NOW,
  nameOf,
  oid,
  octets,
  parsed,
  pemOf,
  resigned,
  rootTerms,
  sequence,
  signed,
  SIGNING_USAGE,
  type Terms,
  text,
} from "./virtual-ca.ts";

const { root, intermediate, leaf } = codeSigningChain();
const authority = authorityOf(intermediate, root);

describe("a certificate says what Node reads in it", () => {
  const publicGood = parseCertificatePem(fixture("public-good.leaf.pem"));
  test.each([
    ["root", parsed(root)],
    ["intermediate", parsed(intermediate)],
    ["leaf", parsed(leaf)],
    ["one of Sigstore's public instance", publicGood],
  ])("%s", (_, certificate) => {
    const other = new X509Certificate(certificate.der);
    expect(certificate.fingerprint).toBe(other.fingerprint256.replaceAll(":", "").toLowerCase());
    expect(certificate.serial).toBe(other.serialNumber.toLowerCase());
    expect(certificate.notBefore).toBe(other.validFromDate.getTime());
    expect(certificate.notAfter).toBe(other.validToDate.getTime());
    expect(certificate.isCa).toBe(other.ca);
    expect(certificate.publicKey.spki).toEqual(
      Uint8Array.from(other.publicKey.export({ format: "der", type: "spki" })),
    );
    // Node keeps the order of the encoding and puts one attribute on a line.
    const lines = (name: string | undefined): string => (name ?? "").split("\n").reverse().join(",");
    expect(certificate.subjectText).toBe(lines(other.subject));
    expect(certificate.issuerText).toBe(lines(other.issuer));
    const kinds = { uri: "URI", email: "email", dns: "DNS", other: "" };
    expect(certificate.names.map(({ kind, value }) => `${kinds[kind]}:${value}`).join(", ")).toBe(
      other.subjectAltName ?? "",
    );
  });

  test("and Fulcio's claims by name", () => {
    expect(publicGood.fulcio).toMatchObject({
      issuer: "https://token.actions.githubusercontent.com",
      buildSignerUri: "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
      sourceRepositoryUri: "https://github.com/sigstore/sigstore-js",
      sourceRepositoryRef: "refs/heads/main",
      runInvocationUri: "https://github.com/sigstore/sigstore-js/actions/runs/5904696764/attempts/1",
      githubWorkflowTrigger: "push",
      sourceRepositoryVisibilityAtSigning: "public",
    });
    expect(Object.keys(publicGood.fulcio)).toHaveLength(21);
    expect(publicGood.sctList?.length).toBe(123);
    expect([...(publicGood.keyUsage ?? [])]).toEqual(["digitalSignature"]);
    expect(publicGood.extendedKeyUsage).toEqual(["1.3.6.1.5.5.7.3.3"]);
  });
});

function leafWith(extensions: Uint8Array[], terms: Partial<Terms> = {}): Uint8Array {
  return issue({ name: [], key: keyOf("ca leaf"), issuer: intermediate, extensions, ...terms }).der;
}

describe("names", () => {
  test("every kind of alternative name is read, in order", () => {
    const { names } = parseCertificate(
      leafWith([
        alternativeNames(
          general.email("a@example.com"),
          general.dns("example.com"),
          general.uri("spiffe://example.com/x"),
          general.ip(127, 0, 0, 1),
          general.directory(nameOf(["O=Acme"])),
          general.other(`${FULCIO}7`, text(0x0c, "user!example.com")),
          general.other("1.2.3", text(0x0c, "x")),
        ),
      ]),
    );
    expect(names).toEqual([
      { kind: "email", value: "a@example.com" },
      { kind: "dns", value: "example.com" },
      { kind: "uri", value: "spiffe://example.com/x" },
      { kind: "other", value: "ip:7f000001" },
      { kind: "other", value: "name:O=Acme" },
      { kind: "other", value: "user!example.com" },
      { kind: "other", value: "other:1.2.3:0c0178" },
    ]);
  });

  test.each([
    ["a NUL within", general.dns("good.example\u0000.evil.example")],
    ["a line break", general.email("a@example.com\n")],
    ["a blank", general.uri("https://example.com/ x")],
    ["nothing", general.email("")],
    ["a letter beyond ASCII", general.dns("b\u00fccher.example")],
    ["a user name without domain", general.other(`${FULCIO}7`, text(0x0c, "user"))],
    ["a user name that looks like another kind", general.other(`${FULCIO}7`, text(0x0c, "ip:x!y"))],
    ["no tag of a general name", text(0x0c, "x")],
  ])("refuses an alternative name with %s", (_, name) => {
    expect(() => parseCertificate(leafWith([alternativeNames(name)]))).toThrow(code("certificate-invalid"));
  });

  test("are written by RFC 4514: the most special first, escaped, unknown types in hexadecimal", () => {
    const of = (...parts: string[]): string => nameText(parseName(nameOf(parts)));
    expect(of()).toBe("");
    expect(of("C=DE", "O=Acme", "CN=build")).toBe("CN=build,O=Acme,C=DE");
    expect(of('O=a,b+c"d\\e<f>g;h')).toBe('O=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h');
    expect(of("O=#x", "CN= y ")).toBe("CN=\\ y\\ ,O=\\#x");
    expect(of("1.2.3=x")).toBe("1.2.3=#0c0178");
    expect(of("O=J\u00fcrgen, \u{1f600}")).toBe("O=J\u00fcrgen\\, \u{1f600}");
    const several = sequence(
      derValue(0x31, sequence(oid("2.5.4.10"), text(0x13, "Acme")), sequence(oid("2.5.4.11"), text(0x13, "CI"))),
    );
    expect(nameText(parseName(several))).toBe("O=Acme+OU=CI");
    const teletex = sequence(derValue(0x31, sequence(oid("2.5.4.10"), text(0x14, "Acme"))));
    expect(nameText(parseName(teletex))).toBe("O=#140441636d65");
  });
});

describe("a certificate is refused", () => {
  const field = (at: number, value: Uint8Array | undefined): Partial<Terms> => ({
    alter: (fields) => fields.toSpliced(at, 1, ...(value === undefined ? [] : [value])),
  });
  const good = leafExtensions(intermediate.key);
  const outer = new DerReader(leaf.der).sequence();
  const tbs = outer.next().encoded;
  outer.next();
  const signature = outer.readBitString();
  const otherAlgorithm = sequence(oid("1.2.840.10045.4.3.3"));

  test.each<[string, () => Uint8Array]>([
    ["of version 1", () => leafWith([], field(0, undefined))],
    ["of version 2", () => leafWith(good, field(0, derValue(contextTag(0, true), fromHex("020101"))))],
    ["of version 4", () => leafWith(good, field(0, derValue(contextTag(0, true), fromHex("020103"))))],
    ["without a serial number", () => leafWith(good, field(1, undefined))],
    ["with a negative serial number", () => leafWith(good, field(1, derValue(TAG_INTEGER, Uint8Array.of(0x80))))],
    [
      "with a serial number of 21 bytes",
      () => leafWith(good, field(1, derValue(TAG_INTEGER, new Uint8Array(21).fill(1)))),
    ],
    ["with another algorithm inside", () => leafWith(good, field(2, otherAlgorithm))],
    ["with another algorithm outside", () => signed(tbs, otherAlgorithm, signature)],
    ["without an issuer", () => leafWith(good, field(3, undefined))],
    ["with one time only", () => leafWith(good, field(4, sequence(text(0x17, "260101000000Z"))))],
    [
      "with a time without seconds",
      () => leafWith(good, field(4, sequence(text(0x17, "2601010000Z"), text(0x17, "270101000000Z")))),
    ],
    [
      "with a time of another zone",
      () => leafWith(good, field(4, sequence(text(0x17, "260101000000+0100"), text(0x17, "270101000000Z")))),
    ],
    [
      "with a fraction of a second",
      () => leafWith(good, field(4, sequence(text(0x18, "20260101000000.5Z"), text(0x17, "270101000000Z")))),
    ],
    [
      "on the 31st of February",
      () => leafWith(good, field(4, sequence(text(0x17, "260231000000Z"), text(0x17, "270101000000Z")))),
    ],
    ["without a key", () => leafWith(good, field(6, undefined))],
    [
      "with unique identifiers",
      () =>
        leafWith(good, {
          alter: (fields) => fields.toSpliced(7, 0, derValue(contextTag(1, false), Uint8Array.of(0, 1))),
        }),
    ],
    ["without extensions", () => leafWith([])],
    ["with an empty list of extensions", () => leafWith(good, field(7, derValue(contextTag(3, true), sequence())))],
    ["with an extension twice", () => leafWith([...good, SIGNING_USAGE])],
    [
      "with too many extensions",
      () => leafWith(Array.from({ length: 65 }, (_, i) => extension(`1.2.3.${i}`, octets()))),
    ],
    [
      "with a criticality that is neither",
      () => leafWith([sequence(oid("1.2.3"), derValue(TAG_BOOLEAN, Uint8Array.of(1)), octets())]),
    ],
    ["with an empty key usage", () => leafWith([extension("2.5.29.15", derValue(TAG_BIT_STRING, Uint8Array.of(0)))])],
    [
      "with an unused bit that is set",
      () => leafWith([extension("2.5.29.15", derValue(TAG_BIT_STRING, Uint8Array.of(1, 0x81)))]),
    ],
    ["with an empty extended key usage", () => leafWith([extendedKeyUsage([])])],
    ["with a path length but no authority", () => leafWith([basicConstraints(false, 1)])],
    ["with something after an extension's value", () => leafWith([extension("2.5.29.19", fromHex("30000500"))])],
    [
      "with two issuers of its token",
      () =>
        leafWith([extension(`${FULCIO}1`, utf8Encode("https://a")), extension(`${FULCIO}8`, text(0x0c, "https://b"))]),
    ],
    ["with a claim that is no text", () => leafWith([extension(`${FULCIO}8`, octets())])],
    ["with a claim that is not UTF-8", () => leafWith([extension(`${FULCIO}1`, Uint8Array.of(0xff))])],
    ["with something after it", () => Uint8Array.from([...leaf.der, 0])],
    ["cut off", () => leaf.der.subarray(0, -1)],
    ["that is empty", () => new Uint8Array()],
  ])("%s", (_, make) => {
    expect(() => parseCertificate(make())).toThrow(code("certificate-invalid"));
  });

  test("with a key that is too short or of an unknown kind", () => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const rsa1024 = Uint8Array.from(publicKey.export({ format: "der", type: "spki" }));
    expect(() => parseCertificate(leafWith(good, field(6, rsa1024)))).toThrow(code("certificate-invalid"));
    const unknown = sequence(sequence(oid("1.2.3.4")), derValue(TAG_BIT_STRING, Uint8Array.of(0, 1)));
    expect(() => parseCertificate(leafWith(good, field(6, unknown)))).toThrow(code("certificate-invalid"));
  });

  test("that is larger than any that is needed", () => {
    expect(() => parseCertificate(new Uint8Array(LIMITS.certificateBytes + 1))).toThrow(code("too-large"));
  });
});

test("PEM texts hold one certificate, or several in order", () => {
  expect(parseCertificatePem(pemOf(leaf.der))).toEqual(parsed(leaf));
  const texts = `${pemOf(intermediate.der)}\n${pemOf(root.der)}`;
  expect(parseCertificatesPem(texts)).toEqual([parsed(intermediate), parsed(root)]);
  expect(() => parseCertificatePem(texts)).toThrow(code("certificate-invalid"));
  expect(() => parseCertificatesPem("")).toThrow(code("certificate-invalid"));
  expect(() => parseCertificatesPem(`${texts} and more`)).toThrow(code("certificate-invalid"));
  expect(() => parseCertificatesPem(pemOf(leaf.der).replaceAll("CERTIFICATE", "PUBLIC KEY"))).toThrow(
    code("certificate-invalid"),
  );
});

describe("every value of a certificate", () => {
  async function outcome(der: Uint8Array): Promise<string> {
    let certificate: ReturnType<typeof parseCertificate>;
    try {
      certificate = parseCertificate(der);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      return error.code;
    }
    const asked = { leaf: certificate, intermediates: [], authorities: [authority], time: NOW } as const;
    const result = await verifyChain(nodeCrypto, { ...asked, purpose: "code-signing" });
    return result.ok ? "ok" : result.code;
  }

  test("altered, dropped or duplicated is a refusal", async () => {
    const all = damages(leaf.der);
    expect(all.length).toBeGreaterThan(150);
    for (const { what, der } of all) {
      expect([what, await outcome(der)]).not.toEqual([what, "ok"]);
    }
  });

  test("is signed for: what stays good after its issuer signed it anew is on the reviewed list", async () => {
    const certificate = parsed(leaf);
    const unharmed: string[] = [];
    for (const { what, der } of damages(certificate.tbs)) {
      const answer = await outcome(resigned(certificate, intermediate, der));
      if (answer === "ok") unharmed.push(what);
    }
    expect(unharmed).toEqual(UNHARMED);
  });
});

/**
 * Changes by the issuer itself after which a certificate is another good one, by place: 0.1 is the serial number, 0.7.0.N the extensions:
 * key usage (0), extended key usage (1), key identifiers (2, 3), alternative names (4), Fulcio's issuer in both forms and repository (5 to 7).
 * Identities and claims that change are compared by whoever asks for them.
 */
const UNHARMED: readonly string[] = [
  "0.1 altered",
  "0.7.0.0 dropped",
  "0.7.0.0.1 dropped",
  "0.7.0.2 dropped",
  "0.7.0.2.1.0 altered",
  "0.7.0.3 dropped",
  "0.7.0.3.0 altered",
  "0.7.0.3.1.0.0 altered",
  "0.7.0.3.1.0.0 dropped",
  "0.7.0.4 dropped",
  "0.7.0.4.1 dropped",
  "0.7.0.4.2.0.0 altered",
  "0.7.0.4.2.0.0 duplicated",
  "0.7.0.5 dropped",
  "0.7.0.5.0 altered",
  "0.7.0.6 dropped",
  "0.7.0.6.0 altered",
  "0.7.0.7 dropped",
  "0.7.0.7.0 altered",
  "0.7.0.7.1.0 altered",
];

describe("nothing that is presented does more than be refused", () => {
  const read = (bytes: Uint8Array): void => {
    const started = performance.now();
    try {
      parseCertificate(bytes);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
    }
    expect(performance.now() - started).toBeLessThan(1_000);
  };

  test("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), read), { numRuns: 500 });
  });

  test("certificates with any one byte changed, dropped or inserted", () => {
    const edit = fc.constantFrom("replace", "drop", "insert");
    fc.assert(
      fc.property(
        fc.constantFrom(root, intermediate, leaf),
        fc.nat(),
        fc.nat(255),
        edit,
        (holder, position, byte, kind) => {
          const bytes = [...holder.der];
          const at = position % bytes.length;
          bytes.splice(at, kind === "insert" ? 0 : 1, ...(kind === "drop" ? [] : [byte]));
          read(Uint8Array.from(bytes));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("values nested as deeply as their size allows", () => {
    let nested = sequence();
    while (nested.length < LIMITS.certificateBytes - 8) nested = sequence(nested);
    const certificates = [
      nested,
      leafWith([alternativeNames(general.directory(nested.subarray(0, 20_000)))]),
      issue({ ...rootTerms("Nested"), extensions: [extension("2.5.29.30", nested.subarray(0, 20_000))] }).der,
    ];
    for (const der of certificates) expect(() => parseCertificate(der)).toThrow(code("certificate-invalid"));
  });
});
