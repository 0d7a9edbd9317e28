/** RFC 3161 timestamps: what they prove, and that every one that is wrong in some way proves nothing. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { contextTag, derValue, TAG_BOOLEAN, TAG_SET } from "../src/der.ts";
import { nobleCrypto, webCrypto } from "../src/index.ts";
import { parseTimestamp, verifyTimestamp } from "../src/timestamp.ts";
import type { Authority } from "../src/trust-root.ts";
import { parseCertificatePem } from "../src/x509.ts";
import { derAt, derBytes, derPaths, derTree, derWith } from "./der-tree.ts";
import { fixture, fixtureBytes } from "./fixtures.ts";
import { code } from "./failure.ts";
import {
  authorityOf,
  basicConstraints,
  CODE_SIGNING,
  DAY,
  extendedKeyUsage,
  extension,
  integer,
  issue,
  NOW,
  octets,
  oid,
  rootTerms,
  SIGNING_USAGE,
  sequence,
  subjectKeyId,
  TIMESTAMPING,
} from "./virtual-ca.ts";
import {
  attributeOf,
  bytesOf,
  certificateIdV2,
  digest,
  hashAlgorithm,
  issuerAndSerial,
  OID_CERTIFICATE_V1,
  OID_CONTENT_TYPE,
  OID_MESSAGE_DIGEST,
  response,
  type StampTerms,
  timestampChain,
  token,
} from "./virtual-tsa.ts";
import { keyOf } from "./virtual.ts";

const message = bytesOf("what is stamped");
const { root, leaf } = timestampChain();
const authorities = [authorityOf(root)];
const good: StampTerms = { signer: leaf, message };

async function outcome(
  bytes: Uint8Array,
  trusted: readonly Authority[] = authorities,
  about = message,
): Promise<string> {
  const result = await verifyTimestamp(nodeCrypto, bytes, { message: about, authorities: trusted });
  return result.ok ? `good at ${new Date(result.time).toISOString()}` : result.message;
}
const GOOD = `good at ${new Date(NOW).toISOString()}`;

describe("a timestamp", () => {
  test.each([
    ["as a token", token(good)],
    ["as a response that grants", response(0, token(good))],
    ["as a response that grants with modifications", response(1, token(good))],
    ["over SHA-384", token({ ...good, hash: "sha384" })],
    ["over SHA-512, signed over SHA-384", token({ ...good, hash: "sha512", signingHash: "sha384" })],
    [
      "whose signer names its certificate over SHA-512",
      token({ ...good, certificateId: certificateIdV2(leaf, "sha512") }),
    ],
    ["with a fraction of a second", token({ ...good, timeText: "20260601120000.0005Z" })],
    ["without accuracy", token({ ...good, info: (fields) => fields.slice(0, 5) })],
    [
      "with attributes that are not known",
      token({ ...good, attributes: (all) => [...all, attributeOf("1.2.3.4", integer(1))] }),
    ],
    [
      "with a nonce, a name and an extension that is not critical",
      token({
        ...good,
        info: (fields) => [
          ...fields,
          integer(9),
          derValue(contextTag(0, true), derValue(contextTag(4, true), leaf.name)),
          derValue(contextTag(1, true), extension("1.2.3.4", integer(1))),
        ],
      }),
    ],
  ])("proves its time %s", async (_, bytes) => {
    expect(await outcome(bytes)).toBe(GOOD);
  });

  test("proves the same through every crypto port", async () => {
    for (const crypto of [nodeCrypto, nobleCrypto, webCrypto]) {
      const result = await verifyTimestamp(crypto, token(good), { message, authorities });
      expect(result).toMatchObject({ ok: true, time: NOW, authority: "CN=TSA,O=Acme" });
    }
  });

  test("names its signer by the key's identifier, too", async () => {
    const key = keyOf("tsa leaf");
    const named = timestampChain({
      leaf: {
        extensions: [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([TIMESTAMPING], true), subjectKeyId(key)],
      },
    });
    const { subjectKeyId: id = new Uint8Array() } = parsedLeaf(named.leaf.der);
    const terms = { ...good, signer: named.leaf, signerId: derValue(contextTag(0, false), id), signerVersion: 3 };
    expect(await outcome(token(terms), [authorityOf(named.root)])).toBe(GOOD);
    expect(await outcome(token({ ...terms, signerVersion: 1 }), [authorityOf(named.root)])).toContain("version");
  });

  test("may carry no certificate when the trust root names its signer's", async () => {
    const bare = token({ ...good, certificates: [] });
    expect(await outcome(bare)).toContain("neither in it nor in the trust root");
    expect(await outcome(bare, [authorityOf(leaf, root)])).toBe(GOOD);
  });

  test("may carry certificates that cannot be read, which then lead nowhere", async () => {
    const odd = { ...leaf, der: sequence(integer(1)) };
    expect(await outcome(token({ ...good, certificates: [odd, leaf] }))).toBe(GOOD);
  });

  test("is good under the one of several authorities that stands behind it", async () => {
    const stranger = issue({ ...rootTerms("Stranger") });
    expect(await outcome(token(good), [authorityOf(stranger), ...authorities])).toBe(GOOD);
    expect(await outcome(token(good), [authorityOf(stranger)])).toContain("No chain leads");
    expect(await outcome(token(good), [])).toContain("No timestamp authority is trusted");
  });

  test("counts only within its authority's window, whose ends count", async () => {
    const [authority = authorityOf(root)] = authorities;
    expect(await outcome(token(good), [{ ...authority, validFrom: NOW, validUntil: NOW }])).toBe(GOOD);
    expect(await outcome(token(good), [{ ...authority, validFrom: NOW + 1 }])).toContain("No timestamp authority");
    expect(await outcome(token(good), [{ ...authority, validUntil: NOW - 1 }])).toContain("No timestamp authority");
  });

  test("is by the very certificate that the trust root names, not by another of the same authority", async () => {
    const other = timestampChain({ root: { key: root.key }, leaf: { key: keyOf("tsa other") } }).leaf;
    const second = issue({
      name: ["O=Acme", "CN=Second"],
      issuer: root,
      key: keyOf("tsa second"),
      extensions: [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([TIMESTAMPING], true)],
    });
    expect(await outcome(token({ ...good, signer: second }))).toBe(GOOD);
    expect(await outcome(token({ ...good, signer: second }), [authorityOf(leaf, root)])).toContain(
      "not signed with the certificate",
    );
    expect(await outcome(token(good), [authorityOf(other, root)])).toContain("not signed with the certificate");
  });

  test("that names its signer by SHA-1 alone counts only where the trust root names the certificate", async () => {
    const named = sequence(sequence(sequence(octets(digest("sha1", leaf.der)))));
    const old = token({
      ...good,
      attributes: ([type = named, imprint = named]) => [type, imprint, attributeOf(OID_CERTIFICATE_V1, named)],
    });
    expect(await outcome(old)).toContain("by SHA-1 alone");
    expect(await outcome(old, [authorityOf(leaf, root)])).toBe(GOOD);
    // Where both forms stand, the newer one decides.
    const both = token({ ...good, attributes: (all) => [...all, attributeOf(OID_CERTIFICATE_V1, named)] });
    expect(await outcome(both)).toBe(GOOD);
  });

  test("is judged at its own time, long after its certificate's end", async () => {
    const brief = timestampChain({ leaf: { notBefore: NOW - DAY, notAfter: NOW } });
    expect(await outcome(token({ ...good, signer: brief.leaf }), [authorityOf(brief.root)])).toBe(GOOD);
    const later = token({ ...good, signer: brief.leaf, time: NOW + 1_000 });
    expect(await outcome(later, [authorityOf(brief.root)])).toContain("was valid only until");
    const earlier = token({ ...good, signer: brief.leaf, time: NOW - 2 * DAY });
    expect(await outcome(earlier, [authorityOf(brief.root)])).toContain("is valid only from");
  });
});

describe("a timestamp proves nothing", () => {
  const usage = (extensions: readonly Uint8Array[]): [Uint8Array, Authority[]] => {
    const unfit = timestampChain({ leaf: { extensions: [basicConstraints(false), SIGNING_USAGE, ...extensions] } });
    return [token({ ...good, signer: unfit.leaf }), [authorityOf(unfit.root)]];
  };
  test.each([
    ["code signing", [extendedKeyUsage([CODE_SIGNING], true)]],
    ["timestamps, not critically", [extendedKeyUsage([TIMESTAMPING])]],
    ["timestamps and code signing", [extendedKeyUsage([TIMESTAMPING, CODE_SIGNING], true)]],
    ["nothing in particular", []],
  ])("when its signer's certificate is for %s", async (_, extensions) => {
    expect(await outcome(...usage(extensions))).toContain("not for timestamping alone");
  });

  const other = issue({ ...rootTerms("Other"), key: keyOf("tsa leaf") });
  const nameless: StampTerms = { ...good, attributes: ([type = root.der, imprint = root.der]) => [type, imprint] };
  test.each<[string, Uint8Array, string]>([
    ["about another message", token({ ...good, message: bytesOf("another") }), "about something else"],
    ["over SHA-1", token({ ...good, hash: "sha1" }), "the hash 1.3.14.3.2.26 is not supported"],
    [
      "with an imprint of another length",
      token({ ...good, info: at(2, sequence(hashAlgorithm("sha512"), octets(digest("sha256", message)))) }),
      "not as long as its hash",
    ],
    ["of version 2", token({ ...good, info: at(0, integer(2)) }), "not of version 1"],
    ["with a local time", token({ ...good, timeText: "20260601120000" }), "not a time"],
    ["with a time of no calendar", token({ ...good, timeText: "20260230120000Z" }), "none of the calendar"],
    ["with a fraction that ends in zero", token({ ...good, timeText: "20260601120000.10Z" }), "not a time"],
    [
      "with an accuracy of 1000 ms in milliseconds",
      token({ ...good, info: at(5, sequence(derValue(contextTag(0, false), Uint8Array.of(3, 0xe8)))) }),
      "accuracy",
    ],
    [
      "with a critical extension",
      token({
        ...good,
        info: (all) => [...all, derValue(contextTag(1, true), extension("1.2.3.4", integer(1), true))],
      }),
      "critical extension",
    ],
    ["with something after its fields", token({ ...good, info: (all) => [...all, sequence()] }), "follows"],
    [
      "with an ordering that is neither true nor false",
      token({ ...good, info: (all) => [...all, derValue(TAG_BOOLEAN, Uint8Array.of(1))] }),
      "neither true nor false",
    ],
    ["of another content type", token({ ...good, contentType: "1.2.840.113549.1.7.1" }), "no timestamp"],
    [
      "whose signed type is another one",
      token({ ...good, attributes: at(0, attributeOf(OID_CONTENT_TYPE, oid("1.2.840.113549.1.7.1"))) }),
      "not of the type that is signed",
    ],
    [
      "whose signed digest is of something else",
      token({ ...good, attributes: at(1, attributeOf(OID_MESSAGE_DIGEST, octets(digest("sha256", message)))) }),
      "not the timestamp that came with it",
    ],
    [
      "without signed digest",
      token({ ...good, attributes: ([type = root.der, , id = root.der]) => [type, id] }),
      '"message digest" is missing',
    ],
    ["without signed type", token({ ...good, attributes: ([, ...rest]) => rest }), '"content type" is missing'],
    ["without naming its signer's certificate", token(nameless), "which certificate it means"],
    [
      "with an attribute that is there twice",
      token({ ...good, attributes: (all) => [...all, attributeOf(OID_CONTENT_TYPE, oid("1.2.3"))] }),
      "repeated",
    ],
    [
      "with an attribute of two values",
      token({ ...good, attributes: (all) => [...all, attributeOf("1.2.3", integer(1), integer(2))] }),
      "more than one value",
    ],
    [
      "with attributes in another order",
      token({ ...good, keepOrder: true, attributes: (all) => all.toReversed() }),
      "order of DER",
    ],
    [
      "that means a certificate with another hash",
      token({ ...good, certificateId: certificateIdV2(root) }),
      "another hash",
    ],
    [
      "that means a certificate of another number",
      token({ ...good, certificateId: mixedId() }),
      "another issuer or number",
    ],
    [
      "that means a certificate by SHA-1",
      token({ ...good, certificateId: certificateIdV2(leaf, "sha1") }),
      "not supported",
    ],
    [
      "signed by another key",
      token({ ...good, signerInfo: at(5, octets(new Uint8Array(8))) }),
      "did not make the timestamp's signature",
    ],
    [
      "signed by a certificate that is not there",
      token({ ...good, signerId: sequence(root.name, integer(1)) }),
      "neither in it nor in the trust root",
    ],
    [
      "with the certificate of its own key under another issuer",
      token({ ...good, signer: other, certificates: [other] }),
      "No chain leads",
    ],
    [
      "without signed attributes",
      token({ ...good, signerInfo: (all) => all.filter((_, i) => i !== 3) }),
      "no signed attributes",
    ],
    ["of a signer of version 3 that is named by number", token({ ...good, signerVersion: 3 }), "version does not fit"],
    [
      "with two hashes",
      token({ ...good, signerInfo: at(4, sequence(oid("1.2.840.10045.4.3.3"))) }),
      "different hashes",
    ],
    [
      "whose hash was not announced",
      token({ ...good, signedData: at(1, derValue(TAG_SET, hashAlgorithm("sha512"))) }),
      "not among those announced",
    ],
    ["of version 1", token({ ...good, signedData: at(0, integer(1)) }), "version is not 3"],
    ["without signer", token({ ...good, signedData: (all) => [...all.slice(0, -1), derValue(TAG_SET)] }), "DER"],
    ["with two signers", token({ ...good, signedData: twice }), "more than one signer"],
    ["that was refused", response(2), "the authority refused: status 2"],
    ["that was refused, with a token all the same", response(2, token(good)), "the authority refused: status 2"],
    ["that was granted without a token", response(0), "DER"],
    ["with two tokens", response(0, token(good), token(good)), "follows"],
    ["of nothing", new Uint8Array(0), "DER"],
    ["too large to be one", new Uint8Array(70_000), "at most"],
  ])("%s", async (_, bytes, reason) => {
    expect(await outcome(bytes)).toContain(reason);
  });

  test("of bytes that are no timestamp: the reader says so by code", () => {
    expect(() => parseTimestamp(response(3))).toThrow(code("timestamp-invalid"));
    expect(() => parseTimestamp(bytesOf("no"))).toThrow(code("der-invalid"));
    expect(() => parseTimestamp(new Uint8Array(70_000))).toThrow(code("too-large"));
  });

  function at(index: number, field: Uint8Array): (fields: Uint8Array[]) => Uint8Array[] {
    return (fields) => fields.with(index, field);
  }
  function twice(fields: Uint8Array[]): Uint8Array[] {
    const signers = derTree(fields.at(-1) ?? new Uint8Array());
    return [...fields.slice(0, -1), derBytes(derWith(signers, [0], (node) => [node, node]))];
  }
  /** The hash of the right certificate beside the number of another. */
  function mixedId(): Uint8Array {
    const { issuer, serial } = issuerAndSerial(root);
    const names = sequence(derValue(contextTag(4, true), issuer));
    return sequence(sequence(sequence(octets(digest("sha256", leaf.der)), sequence(names, serial))));
  }
});

describe("what openssl stamped", () => {
  const artifact = fixtureBytes("artifact.txt");
  const pem = (name: string): Uint8Array => parseCertificatePem(fixture(`timestamp/${name}`)).der;
  const anchored: Authority = { certificates: [pem("root.pem")], validFrom: null, validUntil: null, uri: "" };
  const pinned: Authority = { ...anchored, certificates: [pem("tsa.pem"), pem("root.pem")] };

  test.each([
    ["response.tsr", [true, true]],
    ["token.tst", [true, true]],
    ["response-sha512.tsr", [true, true]],
    ["response-without-certificates.tsr", [false, true]],
    ["response-sha1-name.tsr", [false, true]],
    ["response-sha1-imprint.tsr", [false, false]],
  ])("%s is judged under the authority alone, and under its own certificate too: %j", async (name, expected) => {
    const bytes = fixtureBytes(`timestamp/${name}`);
    const verdicts = [anchored, pinned].map(async (authority) => {
      return (await verifyTimestamp(nodeCrypto, bytes, { message: artifact, authorities: [authority] })).ok;
    });
    expect(await Promise.all(verdicts)).toEqual(expected);
  });

  /** The reviewed list of places, as paths of child numbers in a TimeStampResp, that no verdict depends on; each with all below it. */
  const free: readonly { path: string; changes: readonly string[]; reason: string }[] = [
    { path: "0.0", changes: ["altered"], reason: "granted, or granted with modifications" },
    { path: "1.1.0.3", changes: ["*"], reason: "certificates of the token that nobody needs: the root's own are used" },
    { path: "1.1.0.1", changes: ["repeated"], reason: "the set of hashes announced may name one twice" },
    {
      path: "1.1.0.1.0.1",
      changes: ["dropped"],
      reason: "parameters of a hash are absent or NULL, and mean the same (RFC 5754 §2)",
    },
    {
      path: "1.1.0.4.0.2.1",
      changes: ["dropped"],
      reason: "the same of the signer's hash, which its scheme and the digest decide",
    },
  ];

  test("is refused when any of its fields is altered, dropped, repeated or swapped with its neighbour", async () => {
    const whole = derTree(fixtureBytes("timestamp/response.tsr"));
    const believed: string[] = [];
    for (const path of derPaths(whole)) {
      const changes: [string, () => Uint8Array][] = [
        ["dropped", () => derBytes(derWith(whole, path, () => []))],
        ["repeated", () => derBytes(derWith(whole, path, (node) => [node, node]))],
        ["swapped", () => derBytes(swapped(whole, path))],
      ];
      if (derAt(whole, path).children === undefined) {
        for (const bit of [0x01, 0x80]) {
          changes.push([
            "altered",
            () => derBytes(derWith(whole, path, (node) => [{ ...node, contents: flipped(node.contents, bit) }])),
          ]);
        }
      }
      changes.push(["altered", () => derBytes(derWith(whole, path, (node) => [{ ...node, tag: node.tag ^ 0x01 }]))]);
      for (const [change, make] of changes) {
        const bytes = make();
        if (derBytes(whole).join() === bytes.join()) continue;
        const { ok } = await verifyTimestamp(nodeCrypto, bytes, { message: artifact, authorities: [pinned] });
        const place = path.join(".");
        const listed = free.some(
          (field) => place.startsWith(field.path) && (field.changes.includes("*") || field.changes.includes(change)),
        );
        if (ok && !listed) believed.push(`${place} ${change}`);
      }
    }
    expect(believed).toEqual([]);
  });

  test("is refused when any byte of its token is altered, but for certificates that are the root's own", async () => {
    const bytes = fixtureBytes("timestamp/token.tst");
    // Both lie in one set, whose head has four bytes.
    const places = pinned.certificates.map((der) => Buffer.from(bytes).indexOf(der));
    expect(Math.min(...places)).toBeGreaterThan(0);
    const from = Math.min(...places) - 4;
    const to = from + 4 + pinned.certificates.reduce((length, der) => length + der.length, 0);
    const believed: number[] = [];
    for (let i = 0; i < bytes.length; i++) {
      if (i >= from && i < to) continue;
      for (const bit of [0x01, 0x10, 0x80]) {
        const altered = bytes.with(i, (bytes[i] ?? 0) ^ bit);
        if ((await verifyTimestamp(nodeCrypto, altered, { message: artifact, authorities: [pinned] })).ok)
          believed.push(i);
      }
    }
    expect(believed).toEqual([]);
  });
});

function swapped(tree: Parameters<typeof derWith>[0], path: readonly number[]): typeof tree {
  const last = path.at(-1) ?? 0;
  const parent = path.slice(0, -1);
  const siblings = derAt(tree, parent).children ?? [];
  const [one, two] = [siblings[last], siblings[last + 1]];
  if (one === undefined || two === undefined) return tree;
  const first = derWith(tree, path, () => [two]);
  return derWith(first, [...parent, last + 1], () => [one]);
}

function flipped(contents: Uint8Array, bit: number): Uint8Array {
  return contents.length === 0 ? Uint8Array.of(bit) : contents.with(-1, (contents.at(-1) ?? 0) ^ bit);
}

function parsedLeaf(der: Uint8Array) {
  return parseCertificatePem(
    `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE-----`,
  );
}
