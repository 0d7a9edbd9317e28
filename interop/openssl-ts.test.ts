/** Timestamps of the real `openssl ts`, and our verdict beside `openssl ts -verify` on each, good and damaged. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeCrypto } from "../packages/evidence/node/index.ts";
import { type Authority, x509Root } from "../packages/evidence/src/trust-root.ts";
import { verifyTimestamp } from "../packages/evidence/src/timestamp.ts";
import { parseCertificatePem } from "../packages/evidence/src/x509.ts";
import { type Home, makeHome } from "./harness.ts";
import {
  CA_EXTENSIONS,
  curve,
  type Issued,
  issue,
  opensslAccepts,
  pemFile,
  restamp,
  rsa,
  SIGNER_EXTENSIONS,
  stamp,
  TSA_EXTENSIONS,
  tokenOf,
} from "./openssl-authority.ts";

const DAY_MS = 86_400_000;
const message: Uint8Array = new TextEncoder().encode("the signature that is stamped");

describe("openssl ts", () => {
  let home: Home;
  let root: Issued;
  let ca: Issued;
  let tsa: Issued;
  let otherRoot: Issued;

  beforeAll(async () => {
    home = makeHome();
    root = await issue(home, "root", { extensions: CA_EXTENSIONS, key: rsa(2048) });
    ca = await issue(home, "ca", { by: root, extensions: CA_EXTENSIONS });
    tsa = await issue(home, "tsa", { by: ca, extensions: TSA_EXTENSIONS });
    otherRoot = await issue(home, "other-root", { extensions: CA_EXTENSIONS });
  });
  afterAll(() => home.remove());

  /** The authority of a trust root: the TSA's own certificate stands first when the root names it. */
  function authority(...certificates: Issued[]): Authority {
    const ders = certificates.map(({ certificate }) => parseCertificatePem(readFileSync(certificate, "utf8")).der);
    return { certificates: ders, validFrom: null, validUntil: null, uri: "https://tsa.example" };
  }

  async function ours(token: Uint8Array, authorities: readonly Authority[], about = message): Promise<boolean> {
    const result = await verifyTimestamp(nodeCrypto, token, { message: about, authorities });
    return result.ok;
  }

  /** Both verdicts, ours first. */
  async function both(
    token: Uint8Array,
    options: { about?: Uint8Array; bare?: boolean; under?: Issued; authorities?: readonly Authority[] } = {},
  ): Promise<[boolean, boolean]> {
    const { about = message, bare = false, under = root } = options;
    const authorities = options.authorities ?? [authority(ca, under)];
    return [
      await ours(token, authorities, about),
      await opensslAccepts(home, token, { message: about, root: under.certificate, untrusted: ca.certificate, bare }),
    ];
  }

  it.each(["sha256", "sha384", "sha512"] as const)("agrees on a good response over %s", async (hash) => {
    expect(await both(await stamp(home, tsa, { message, hash, digest: hash }))).toEqual([true, true]);
  });

  it("agrees on the bare token of a response", async () => {
    const token = await tokenOf(home, await stamp(home, tsa, { message }));
    expect(await both(token, { bare: true })).toEqual([true, true]);
  });

  it.each([
    ["RSA 2048", rsa(2048)],
    ["RSA 4096", rsa(4096)],
    ["P-384", curve("P-384")],
    ["P-521", curve("P-521")],
  ])("agrees on a TSA with a key of %s that signs over SHA-256", async (name, key) => {
    const other = await issue(home, `tsa ${name}`, { by: ca, extensions: TSA_EXTENSIONS, key });
    expect(await both(await stamp(home, other, { message }))).toEqual([true, true]);
  });

  it("agrees without certificates in the token, when the root names the TSA's own", async () => {
    const response = await stamp(home, tsa, { message, certificates: false });
    expect(await ours(response, [authority(tsa, ca, root)])).toBe(true);
    const { certificate } = tsa;
    expect(await opensslAccepts(home, response, { message, root: root.certificate, untrusted: certificate })).toBe(
      false,
    );
    expect(
      await opensslAccepts(home, response, {
        message,
        root: root.certificate,
        untrusted: pemFile(home, "tsa-and-ca", [tsa.certificate, ca.certificate]),
      }),
    ).toBe(true);
    expect(await ours(response, [authority(ca, root)])).toBe(false);
  });

  it("agrees that it is not about another message", async () => {
    const response = await stamp(home, tsa, { message });
    expect(await both(response, { about: new TextEncoder().encode("another") })).toEqual([false, false]);
  });

  it("agrees that another authority's is not trusted", async () => {
    const response = await stamp(home, tsa, { message });
    expect(await both(response, { under: otherRoot, authorities: [authority(otherRoot)] })).toEqual([false, false]);
  });

  it.each([
    ["is for code signing", SIGNER_EXTENSIONS],
    [
      "is for timestamps, but not critically",
      TSA_EXTENSIONS.map((line) => line.replace("critical,timeStamping", "timeStamping")),
    ],
    [
      "is for timestamps and code signing",
      TSA_EXTENSIONS.map((line) => line.replace("timeStamping", "timeStamping,codeSigning")),
    ],
    ["names no purpose", TSA_EXTENSIONS.filter((line) => !line.startsWith("extendedKeyUsage"))],
  ])("agrees that a signer's certificate does not do that %s", async (name, extensions) => {
    const token = await tokenOf(home, await stamp(home, tsa, { message }));
    // The way of making such a token is itself good: with the real TSA's certificate it is one more good token.
    expect(await both(await restamp(home, token, tsa), { bare: true })).toEqual([true, true]);
    const unfit = await issue(home, `unfit ${name}`, { by: ca, extensions });
    expect(await both(await restamp(home, token, unfit), { bare: true })).toEqual([false, false]);
  });

  it("agrees that a TSA's certificate that had expired when it stamped does not do", async () => {
    const token = await tokenOf(home, await stamp(home, tsa, { message }));
    const expired = await issue(home, "expired", {
      by: ca,
      extensions: TSA_EXTENSIONS,
      from: new Date(Date.now() - 3 * DAY_MS),
      until: new Date(Date.now() - DAY_MS),
    });
    expect(await both(await restamp(home, token, expired), { bare: true })).toEqual([false, false]);
  });

  it("believes a TSA that has expired since, where openssl judges it today unless told otherwise", async () => {
    const brief = await issue(home, "brief", {
      by: ca,
      extensions: TSA_EXTENSIONS,
      until: new Date(Date.now() + 60_000),
    });
    const response = await stamp(home, brief, { message });
    const options = { message, root: root.certificate, untrusted: ca.certificate };
    expect(await ours(response, [authority(ca, root)])).toBe(true);
    expect(await opensslAccepts(home, response, { ...options, at: new Date() })).toBe(true);
    expect(await opensslAccepts(home, response, { ...options, at: new Date(Date.now() + DAY_MS) })).toBe(false);
  });

  it("refuses an imprint over SHA-1, which openssl still takes", async () => {
    expect(await both(await stamp(home, tsa, { message, hash: "sha1" }))).toEqual([false, true]);
  });

  it("refuses a signer that names its certificate by SHA-1, which openssl takes, unless the root names the certificate", async () => {
    const response = await stamp(home, tsa, { message, nameBy: "sha1" });
    expect(await both(response)).toEqual([false, true]);
    expect(await ours(response, [authority(tsa, ca, root)])).toBe(true);
  });

  it("refuses the token of another TSA of the same authority when the root names the TSA's own certificate", async () => {
    const second = await issue(home, "second", { by: ca, extensions: TSA_EXTENSIONS });
    const response = await stamp(home, second, { message });
    expect(await both(response)).toEqual([true, true]);
    expect(await ours(response, [authority(tsa, ca, root)])).toBe(false);
  });

  it("asks an authority only about times within its window", async () => {
    const response = await stamp(home, tsa, { message });
    const trusted = authority(ca, root);
    expect(await ours(response, [{ ...trusted, validUntil: Date.now() - DAY_MS }])).toBe(false);
    expect(await ours(response, [{ ...trusted, validFrom: Date.now() + DAY_MS }])).toBe(false);
    expect(
      await ours(response, [{ ...trusted, validFrom: Date.now() - DAY_MS, validUntil: Date.now() + DAY_MS }]),
    ).toBe(true);
  });

  it("agrees on a token altered at any byte, apart from what openssl does not look at", async () => {
    const token = await tokenOf(home, await stamp(home, tsa, { message }));
    expect(await both(token, { bare: true })).toEqual([true, true]);
    // Every byte for ours; for openssl, a process each, a sample spread over the whole token.
    const acceptedByUs: number[] = [];
    const trusted = [authority(ca, root)];
    for (let at = 0; at < token.length; at++) {
      if (await ours(flipped(token, at), trusted)) acceptedByUs.push(at);
    }
    const onlyOurs: number[] = [];
    for (const at of acceptedByUs.filter((_, index) => index % 40 === 0)) {
      const accepted = await opensslAccepts(home, flipped(token, at), {
        message,
        root: root.certificate,
        untrusted: ca.certificate,
        bare: true,
      });
      if (!accepted) onlyOurs.push(at);
    }
    const step = Math.floor(token.length / 60);
    for (let at = 0; at < token.length; at += step) {
      const accepted = await opensslAccepts(home, flipped(token, at), {
        message,
        root: root.certificate,
        untrusted: ca.certificate,
        bare: true,
      });
      // openssl reads BER and tolerates much; it must never refuse what we believe, certificates apart that nobody needs.
      if (!accepted && acceptedByUs.includes(at)) onlyOurs.push(at);
    }
    const certificates = carriedCertificates(token, [ca, root]);
    expect(onlyOurs.filter((at) => !certificates.some(([from, to]) => at >= from && at < to))).toEqual([]);
    expect(acceptedByUs.filter((at) => !certificates.some(([from, to]) => at >= from && at < to))).toEqual([]);
  });

  it("shows what it stamped, and by whom", async () => {
    const response = await stamp(home, tsa, { message });
    const result = await verifyTimestamp(nodeCrypto, response, { message, authorities: [authority(ca, root)] });
    expect(result).toMatchObject({ ok: true, authority: "https://tsa.example" });
    if (!result.ok) return;
    expect(Math.abs(result.time - Date.now())).toBeLessThan(120_000);
    expect(result.steps.map(({ check, outcome }) => `${check} ${outcome}`)).toEqual([
      "timestamp-form passed",
      "timestamp-imprint passed",
      "timestamp-authority passed",
    ]);
    expect(result.steps[0]?.detail).toContain("accurate to 1500 ms, ordered, under the policy 1.2.3.4.1");
  });

  it("takes its timestamp authorities from a trust root of PEM files", async () => {
    const pem = (issued: Issued): string => readFileSync(issued.certificate, "utf8");
    const trust = x509Root("acme", [pem(otherRoot)], [pem(ca) + pem(root)]);
    const response = await stamp(home, tsa, { message });
    expect(await ours(response, trust.timestampAuthorities)).toBe(true);
    expect(await ours(response, trust.certificateAuthorities)).toBe(false);
  });

  function flipped(token: Uint8Array, at: number): Uint8Array {
    const altered = Uint8Array.from(token);
    altered[at] = (altered[at] ?? 0) ^ 0x01;
    return altered;
  }

  /** Where in the token the given certificates lie, as [from, to): they are the root's too, and nobody needs the token's copies. */
  function carriedCertificates(token: Uint8Array, certificates: readonly Issued[]): [number, number][] {
    return certificates.map(({ certificate }) => {
      const { der } = parseCertificatePem(readFileSync(certificate, "utf8"));
      const from = Buffer.from(token).indexOf(der);
      if (from < 0) throw new Error("the token does not hold the certificate");
      return [from, from + der.length];
    });
  }
});
