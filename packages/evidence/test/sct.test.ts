/** A certificate log's promise in a certificate: rebuilt and checked as RFC 6962 §3.2 says. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { nodeCrypto, type PrivateKey } from "../node/index.ts";
import {
  concatBytes,
  fromHex,
  type LogKey,
  nobleCrypto,
  parseCertificate,
  parseCertificatePem,
  parseSctList,
  parseTrustedRoot,
  verifyChain,
  verifySct,
  webCrypto,
} from "../src/index.ts";
import { DerReader } from "../src/der.ts";
import { fromBigInt } from "../src/signature.ts";
import { code } from "./failure.ts";
import { fixture, fixtureBytes } from "./fixtures.ts";
import { keyOf } from "./virtual.ts";
import {
  codeSigningChain,
  DAY,
  extension,
  type Holder,
  issue,
  leafExtensions,
  NOW,
  octets,
  parsed,
  signWith,
  type Signing,
} from "./virtual-ca.ts";

const { root, intermediate } = codeSigningChain();
const logKey = keyOf("ct");

const vector = (bytes: Uint8Array): Uint8Array => concatBytes(fromBigInt(BigInt(bytes.length), 2), bytes);

type SctChanges = {
  log?: PrivateKey;
  logId?: Uint8Array;
  time?: number;
  signedTime?: number;
  extensions?: Uint8Array;
  signedExtensions?: Uint8Array;
  version?: number;
  algorithms?: string;
  signing?: Signing;
  issuer?: Holder;
  after?: Uint8Array;
};

/** A timestamp by a log over the TBSCertificate without timestamps. */
function sctOver(tbs: Uint8Array, changes: SctChanges = {}): Uint8Array {
  const { log = logKey, time = NOW, extensions = new Uint8Array(), version = 0, issuer = intermediate } = changes;
  const entry = concatBytes(fromHex(issuer.key.publicKey.keyId), fromBigInt(BigInt(tbs.length), 3), tbs);
  const data = concatBytes(
    Uint8Array.of(0, 0),
    fromBigInt(BigInt(changes.signedTime ?? time), 8),
    Uint8Array.of(0, 1),
    entry,
    vector(changes.signedExtensions ?? extensions),
  );
  const ids: Record<string, string> = { ec: "03", rsa: "01", ed25519: "07" };
  const algorithms = changes.algorithms ?? `04${ids[log.publicKey.material.kind]}`;
  return concatBytes(
    Uint8Array.of(version),
    changes.logId ?? fromHex(log.publicKey.keyId),
    fromBigInt(BigInt(time), 8),
    vector(extensions),
    fromHex(algorithms),
    vector(signWith(log, changes.signing ?? "sha256", data)),
    changes.after ?? new Uint8Array(),
  );
}

const LIST = "1.3.6.1.4.1.11129.2.4.2";

/** A leaf with these timestamps, at the place of the list among the extensions that is given. */
function leafWith(make: (tbs: Uint8Array) => Uint8Array[], place = 99): Uint8Array {
  const plain = leafExtensions(intermediate.key);
  // The serial number is set, so that both issues are of one certificate.
  const alter = (fields: Uint8Array[]): Uint8Array[] => fields.with(1, fromHex("02021234"));
  const terms = { name: [], key: keyOf("ca leaf"), issuer: intermediate, alter } as const;
  const tbs = new DerReader(issue({ ...terms, extensions: plain }).der).sequence().next().encoded;
  const list = vector(concatBytes(...make(tbs).map(vector)));
  return issue({ ...terms, extensions: plain.toSpliced(place, 0, extension(LIST, octets(list))) }).der;
}

function logOf(key: PrivateKey, changes: Partial<LogKey> = {}): LogKey {
  const { publicKey } = key;
  return {
    baseUrl: "https://ct.example.com",
    origin: "ct.example.com",
    publicKey,
    logId: fromHex(publicKey.keyId),
    validFrom: null,
    validUntil: null,
    ...changes,
  };
}

const ctlogs = [logOf(keyOf("another log")), logOf(logKey)];

async function outcomeOf(leaf: Uint8Array, logs = ctlogs, issuer = intermediate): Promise<string> {
  const request = { leaf: parseCertificate(leaf), issuer: parsed(issuer), ctlogs: logs };
  const result = await verifySct(nodeCrypto, request);
  expect(result.steps.at(-1)?.outcome).toBe(result.ok ? "passed" : "failed");
  return result.ok ? "ok" : result.code;
}

const one = (changes: SctChanges = {}) => leafWith((tbs) => [sctOver(tbs, changes)]);

describe("a timestamp is good", () => {
  test("in a certificate of Sigstore's public instance, alike through every crypto port", async () => {
    const trust = parseTrustedRoot(fixtureBytes("public-good.trusted_root.json"), "public-good");
    const leaf = parseCertificatePem(fixture("public-good.leaf.pem"));
    for (const crypto of [nodeCrypto, webCrypto, nobleCrypto]) {
      const chain = await verifyChain(crypto, {
        leaf,
        intermediates: [],
        authorities: trust.certificateAuthorities,
        time: leaf.notBefore,
        purpose: "code-signing",
      });
      const issuer = chain.ok ? chain.chain[1] : undefined;
      if (issuer === undefined) throw new Error("no chain");
      const result = await verifySct(crypto, { leaf, issuer, ctlogs: trust.ctlogs });
      expect(result).toMatchObject({ ok: true, time: Date.parse("2023-08-18T16:05:35.120Z") });
      const [older] = trust.ctlogs;
      if (older === undefined) throw new Error("no log");
      expect((await verifySct(crypto, { leaf, issuer, ctlogs: [older] })).ok).toBe(false);
    }
  });

  test.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "rsa-pkcs1-sha256"] as const)(
    "of a log with an %s key",
    async (algorithm) => {
      const log = keyOf("ct", algorithm);
      expect(await outcomeOf(one({ log }), [logOf(log)])).toBe("ok");
    },
  );

  test.each([0, 3, 99])("wherever the list stands among the extensions: %i", async (place) => {
    expect(await outcomeOf(leafWith((tbs) => [sctOver(tbs)], place))).toBe("ok");
  });

  // c2sp.org/static-ct-api: type 0, 5 bytes.
  test("with the leaf index of a tiled log", async () => {
    expect(await outcomeOf(one({ extensions: fromHex("0000050000000007") }))).toBe("ok");
  });

  test("among others that are not", async () => {
    const others = leafWith((tbs) => [
      sctOver(tbs, { log: keyOf("untrusted log") }),
      sctOver(tbs, { signedTime: 1 }),
      sctOver(tbs),
    ]);
    expect(await outcomeOf(others)).toBe("ok");
  });

  test("at the ends of the log's window, and not outside", async () => {
    const window = (validFrom: number | null, validUntil: number | null) => [logOf(logKey, { validFrom, validUntil })];
    expect(await outcomeOf(one(), window(NOW, NOW))).toBe("ok");
    expect(await outcomeOf(one(), window(NOW + 1, null))).toBe("sct-invalid");
    expect(await outcomeOf(one(), window(null, NOW - 1))).toBe("sct-invalid");
    expect(await outcomeOf(one(), [...window(null, NOW - DAY), logOf(logKey)])).toBe("ok");
  });
});

describe("a certificate is refused as sct-invalid", () => {
  test.each<[string, () => Uint8Array]>([
    ["without a list", () => codeSigningChain().leaf.der],
    ["with a timestamp of another log", () => one({ log: keyOf("untrusted log") })],
    [
      "with another log's signature under a known name",
      () => one({ log: keyOf("untrusted log"), logId: fromHex(logKey.publicKey.keyId) }),
    ],
    ["with another time than was signed", () => one({ signedTime: NOW - 1 })],
    [
      "with other extensions than were signed",
      () => one({ extensions: fromHex("0000050000000007"), signedExtensions: new Uint8Array() }),
    ],
    ["when it was signed for another issuer", () => one({ issuer: root })],
    [
      "when it was signed for another certificate",
      () => leafWith((tbs) => [sctOver(tbs.with(-1, (tbs.at(-1) ?? 0) ^ 1))]),
    ],
    ["with a timestamp of version 2", () => one({ version: 1 })],
    ["with the name of another hash", () => one({ algorithms: "0503" })],
    ["signed over SHA-1", () => one({ algorithms: "0203", signing: "sha1" })],
    ["with bytes after a timestamp", () => one({ after: Uint8Array.of(0) })],
    ["with an empty list", () => leafWith(() => [])],
    ["with an empty timestamp", () => leafWith(() => [new Uint8Array()])],
    ["with too many timestamps", () => leafWith((tbs) => Array.from({ length: 17 }, () => sctOver(tbs)))],
    ["with a time beyond the calendar", () => one({ time: 2 ** 53 })],
  ])("%s", async (_, make) => {
    expect(await outcomeOf(make())).toBe("sct-invalid");
  });

  test("under another issuer than the chain's", async () => {
    expect(await outcomeOf(one(), ctlogs, root)).toBe("sct-invalid");
  });

  test("when no log is trusted", async () => {
    expect(await outcomeOf(one(), [])).toBe("sct-invalid");
  });
});

test("every single bit of a list is read or signed for", async () => {
  const good = parseCertificate(one());
  const { sctList } = good;
  if (sctList === undefined) throw new Error("no list");
  for (let bit = 0; bit < sctList.length * 8; bit++) {
    const at = bit >> 3;
    const damaged = sctList.with(at, (sctList[at] ?? 0) ^ (1 << (bit & 7)));
    const request = { leaf: { ...good, sctList: damaged }, issuer: parsed(intermediate), ctlogs };
    expect([bit, (await verifySct(nodeCrypto, request)).ok]).toEqual([bit, false]);
  }
});

test("a list is read whole, and its log ids are hashes of keys", () => {
  const [timestamp] = parseSctList(parseCertificate(one()).sctList ?? new Uint8Array());
  const spki = createHash("sha256").update(logKey.publicKey.spki).digest("hex");
  expect(timestamp).toMatchObject({ time: NOW, scheme: "ecdsa-sha256", logId: fromHex(spki) });
  expect(() => parseSctList(new Uint8Array())).toThrow(code("certificate-invalid"));
  expect(() => parseSctList(Uint8Array.of(0, 0))).toThrow(code("certificate-invalid"));
});
