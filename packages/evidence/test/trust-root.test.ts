/** Trust roots: Sigstore's file, PEM certificates, and our own form of both. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  certificatesOf,
  EvidenceError,
  parseJson,
  parseTrustedRoot,
  readRoot,
  rootJson,
  type TrustRoot,
  toBase64,
  utf8Decode,
  utf8Encode,
  x509Root,
} from "../src/index.ts";
import { DerReader } from "../src/der.ts";
import { Members } from "../src/members.ts";
import { code } from "./failure.ts";
import { fixtureBytes } from "./fixtures.ts";
import { keyOf } from "./virtual.ts";
import { basicConstraints, CA_USAGE, codeSigningChain, issue, pemOf, rootTerms } from "./virtual-ca.ts";

const FILE = fixtureBytes("public-good.trusted_root.json");
const { root, intermediate, leaf } = codeSigningChain();

/** The file as tests damage it: loosely typed on purpose. */
type LooseLog = {
  publicKey?: { validFor?: { start?: string; end?: string } };
  logId?: object;
  [member: string]: unknown;
};
type Loose = {
  tlogs: LooseLog[];
  ctlogs: LooseLog[];
  certificateAuthorities: { certChain: object }[];
  [member: string]: unknown;
};

function changedFile(change: (json: Loose) => void): Uint8Array {
  const json = JSON.parse(utf8Decode(FILE)) as Loose;
  change(json);
  return utf8Encode(JSON.stringify(json));
}

describe("Sigstore's trusted root", () => {
  test("is read as it is distributed", () => {
    const trust = parseTrustedRoot(FILE, "public-good");
    expect(trust).toMatchObject({ name: "public-good", profile: "sigstore" });
    const [log] = trust.tlogs;
    expect(log).toMatchObject({
      baseUrl: "https://rekor.sigstore.dev",
      origin: "rekor.sigstore.dev",
      validFrom: Date.parse("2021-01-12T11:53:27Z"),
      validUntil: null,
    });
    expect(log?.publicKey.keyId).toBe("c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d");
    expect(log?.logId).toEqual(Uint8Array.from(Buffer.from(log?.publicKey.keyId ?? "", "hex")));
    expect(trust.ctlogs.map(({ validUntil }) => validUntil)).toEqual([Date.parse("2022-10-31T23:59:59.999Z"), null]);
    expect(trust.certificateAuthorities.map((one) => certificatesOf(one).map((c) => c.subjectText))).toEqual([
      ["CN=sigstore,O=sigstore.dev"],
      ["CN=sigstore-intermediate,O=sigstore.dev", "CN=sigstore,O=sigstore.dev"],
    ]);
    expect(trust.timestampAuthorities.map((one) => certificatesOf(one).length)).toEqual([3]);
  });

  test.each([
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
  ])("is read under the media type %s", (mediaType) => {
    const file = utf8Encode(
      utf8Decode(FILE).replace(/"mediaType": "[^"]*"/, `"mediaType": ${JSON.stringify(mediaType)}`),
    );
    expect(parseTrustedRoot(file, "x")).toEqual(parseTrustedRoot(FILE, "x"));
  });

  test("may lack each kind of thing", () => {
    const file = utf8Encode('{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}');
    expect(parseTrustedRoot(file, "x")).toMatchObject({ tlogs: [], ctlogs: [], certificateAuthorities: [] });
  });

  test("takes a log with a port in its URL by its host name, as the clients do", () => {
    const at = (url: string) => (json: Loose) => Object.assign(json.tlogs[0] ?? {}, { baseUrl: url });
    expect(parseTrustedRoot(changedFile(at("https://log.example.com:8443/x")), "x").tlogs[0]?.origin).toBe(
      "log.example.com",
    );
    expect(parseTrustedRoot(changedFile(at("")), "x").tlogs[0]?.origin).toBe("");
  });

  test("rounds instants finer than a millisecond into the window", () => {
    const window = (validFor: object) => (json: Loose) => Object.assign(json.tlogs[0]?.publicKey ?? {}, { validFor });
    const read = (validFor: object) => parseTrustedRoot(changedFile(window(validFor)), "x").tlogs[0];
    const at = Date.parse("2026-01-01T00:00:00Z");
    expect(read({ start: "2026-01-01T00:00:00.000000001Z", end: "2026-01-01T00:00:00.001999999Z" })).toMatchObject({
      validFrom: at + 1,
      validUntil: at + 1,
    });
    expect(read({ start: "2026-01-01T01:00:00+01:00" })).toMatchObject({ validFrom: at });
  });

  test.each(["ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519"] as const)("takes logs with %s keys", (algorithm) => {
    const details = {
      "ecdsa-p384-sha384": "PKIX_ECDSA_P384_SHA_384",
      "ecdsa-p521-sha512": "PKIX_ECDSA_P521_SHA_512",
      ed25519: "PKIX_ED25519",
    };
    const { publicKey } = keyOf("log", algorithm);
    const key = { rawBytes: toBase64(publicKey.spki), keyDetails: details[algorithm] };
    const file = changedFile((json) => Object.assign(json.tlogs[0]?.publicKey ?? {}, key));
    expect(parseTrustedRoot(file, "x").tlogs[0]?.publicKey.keyId).toBe(publicKey.keyId);
  });

  test("takes RSA keys under each of their names, and only with as many bits as the name says", () => {
    const { publicKey } = keyOf("log", "rsa-pkcs1-sha256");
    const spki = new DerReader(publicKey.spki).sequence();
    spki.next();
    const pkcs1 = spki.readBitString();
    const read = (keyDetails: string, raw: Uint8Array) => () => {
      const key = { rawBytes: toBase64(raw), keyDetails };
      return parseTrustedRoot(
        changedFile((json) => Object.assign(json.ctlogs[0]?.publicKey ?? {}, key)),
        "x",
      );
    };
    expect(read("PKIX_RSA_PKCS1V15_3072_SHA256", publicKey.spki)().ctlogs[0]?.publicKey.keyId).toBe(publicKey.keyId);
    expect(read("PKIX_RSA_PKCS1V5", publicKey.spki)().ctlogs[0]?.publicKey.keyId).toBe(publicKey.keyId);
    expect(read("PKCS1_RSA_PKCS1V5", pkcs1)().ctlogs[0]?.publicKey.keyId).toBe(publicKey.keyId);
    expect(read("PKIX_RSA_PKCS1V15_2048_SHA256", publicKey.spki)).toThrow(code("trusted-root-invalid"));
    expect(read("PKCS1_RSA_PKCS1V5", publicKey.spki)).toThrow(code("trusted-root-invalid"));
  });

  const log = (json: Loose): LooseLog => json.tlogs[0] ?? {};
  const chain = (json: Loose): object | undefined => json.certificateAuthorities[0]?.certChain;
  const set = (target: object | undefined, changes: object): void => void Object.assign(target ?? {}, changes);
  test.each<[string, (json: Loose) => void]>([
    ["another media type", (json) => set(json, { mediaType: "application/json" })],
    ["an unknown member", (json) => set(json, { extra: [] })],
    ["an unknown member of a log", (json) => set(log(json), { revoked: true })],
    ["a log without a key", (json) => delete log(json).publicKey],
    ["a log without a name", (json) => delete log(json).logId],
    ["a log with a short name", (json) => set(log(json).logId, { keyId: "AAAAAA==" })],
    ["a log of another hash", (json) => set(log(json), { hashAlgorithm: "SHA2_512" })],
    // sigstore-conformance: trust-root-tlog-missing-validity-start.
    ["a log without a beginning", (json) => delete log(json).publicKey?.validFor?.start],
    ["a log without a window", (json) => delete log(json).publicKey?.validFor],
    ["a window that is no time", (json) => set(log(json).publicKey?.validFor, { start: "yesterday" })],
    [
      "a window on the 31st of February",
      (json) => set(log(json).publicKey?.validFor, { start: "2026-02-31T00:00:00Z" }),
    ],
    ["key details of another kind", (json) => set(log(json).publicKey, { keyDetails: "PKIX_ED25519" })],
    ["key details that are not supported", (json) => set(log(json).publicKey, { keyDetails: "ML_DSA_65" })],
    ["key details like a member of every object", (json) => set(log(json).publicKey, { keyDetails: "constructor" })],
    ["a key that is none", (json) => set(log(json).publicKey, { rawBytes: "AAAA" })],
    ["an authority without certificates", (json) => set(chain(json), { certificates: [] })],
    ["a certificate that is none", (json) => set(chain(json), { certificates: [{ rawBytes: "AAAA" }] })],
    ["base64 with a blank", (json) => set(chain(json), { certificates: [{ rawBytes: "AA A" }] })],
  ])("is refused with %s", (_, change) => {
    expect(() => parseTrustedRoot(changedFile(change), "x")).toThrow(code("trusted-root-invalid"));
  });

  test("with any one byte changed or dropped is read or refused, and nothing else happens", () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(255), fc.boolean(), (position, byte, drop) => {
        const at = position % FILE.length;
        const damaged = drop
          ? Uint8Array.from([...FILE.subarray(0, at), ...FILE.subarray(at + 1)])
          : FILE.with(at, byte);
        try {
          parseTrustedRoot(damaged, "x");
        } catch (error) {
          if (!(error instanceof EvidenceError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });

  test("is refused when it is no JSON, or repeats a member", () => {
    expect(() => parseTrustedRoot(utf8Encode("{"), "x")).toThrow(code("json-invalid"));
    expect(() => parseTrustedRoot(utf8Encode('{"tlogs":[],"tlogs":[]}'), "x")).toThrow(code("json-duplicate-key"));
  });
});

describe("a root of PEM certificates", () => {
  const lengths = (trust: TrustRoot): number[] => trust.certificateAuthorities.map((one) => one.certificates.length);

  test("makes one authority of each chain", () => {
    const other = issue(rootTerms("Other"));
    const chain = pemOf(intermediate.der) + pemOf(root.der);
    expect(lengths(x509Root("corp", [pemOf(root.der)]))).toEqual([1]);
    expect(lengths(x509Root("corp", [chain]))).toEqual([2]);
    expect(lengths(x509Root("corp", [chain, pemOf(other.der)]))).toEqual([2, 1]);
    // A file of several roots, as systems keep them.
    expect(lengths(x509Root("corp", [pemOf(other.der) + chain]))).toEqual([1, 2]);
    expect(lengths(x509Root("corp", [pemOf(root.der) + pemOf(intermediate.der)]))).toEqual([1, 1]);
    const stamped = x509Root("corp", [pemOf(root.der)], [pemOf(other.der)]);
    expect(stamped).toMatchObject({ profile: "x509", tlogs: [], ctlogs: [] });
    expect(stamped.timestampAuthorities).toHaveLength(1);
  });

  test("is refused without certificates, and with those of anybody but an authority", () => {
    expect(() => x509Root("corp", [])).toThrow(code("trusted-root-invalid"));
    expect(() => x509Root("corp", [""])).toThrow(code("certificate-invalid"));
    expect(() => x509Root("corp", [pemOf(leaf.der)])).toThrow(code("trusted-root-invalid"));
    expect(() => x509Root("corp", [pemOf(leaf.der) + pemOf(intermediate.der)])).toThrow(code("trusted-root-invalid"));
  });

  test("is refused with a chain longer than any that is verified", () => {
    let holder = issue(rootTerms("Deep"));
    let pem = pemOf(holder.der);
    for (let i = 0; i < 8; i++) {
      holder = issue({ name: [`CN=Deep ${i}`], issuer: holder, extensions: [basicConstraints(true), CA_USAGE] });
      pem = pemOf(holder.der) + pem;
    }
    expect(() => x509Root("corp", [pem])).toThrow(code("too-large"));
  });
});

describe("our own form", () => {
  const roots = [parseTrustedRoot(FILE, "public-good"), x509Root("corp", [pemOf(intermediate.der) + pemOf(root.der)])];
  const read = (json: object): TrustRoot =>
    readRoot(new Members(parseJson(JSON.stringify(json)), "root", "trust-invalid"));

  test.each(roots)("of $name says the same", (trust) => {
    expect(read(rootJson(trust))).toEqual(trust);
  });

  // As a program would find it in a file.
  const json = JSON.parse(JSON.stringify(rootJson(roots[0] ?? x509Root("", [])))) as { tlogs: object[] };
  const [firstLog] = json.tlogs;
  test.each<[string, object]>([
    ["an unknown member", { ...json, extra: 1 }],
    ["no name", { ...json, name: "" }],
    ["a list left out, which would no longer be demanded", { ...json, ctlogs: undefined }],
    ["another profile", { ...json, profile: "pgp" }],
    [
      "an authority without certificates",
      { ...json, certificateAuthorities: [{ certificates: [], validFrom: null, validUntil: null, uri: "" }] },
    ],
    [
      "a certificate that is none",
      { ...json, certificateAuthorities: [{ certificates: ["AAAA"], validFrom: null, validUntil: null, uri: "" }] },
    ],
    ["a log without a window", { ...json, tlogs: [{ ...firstLog, validFrom: undefined }] }],
    ["a log with a key that is none", { ...json, tlogs: [{ ...firstLog, publicKey: "AAAA" }] }],
    ["a log with a window in another unit", { ...json, tlogs: [{ ...firstLog, validFrom: 1.5 }] }],
    ["an unknown member of a log", { ...json, tlogs: [{ ...firstLog, extra: 1 }] }],
  ])("is refused with %s", (_, damaged) => {
    expect(() => read(damaged)).toThrow(code("trust-invalid"));
  });
});
