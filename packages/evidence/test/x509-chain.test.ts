/** From a leaf to an anchor: what is accepted, and by which rule each damaged chain is refused. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  type Authority,
  type ChainPurpose,
  type ChainResult,
  nobleCrypto,
  verifyChain,
  webCrypto,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";
import {
  authorityKeyId,
  authorityOf,
  basicConstraints,
  CA_USAGE,
  CODE_SIGNING,
  codeSigningChain,
  DAY,
  extendedKeyUsage,
  extension,
  type Holder,
  issue,
  keyUsage,
  leafExtensions,
  NOW,
  nameOf,
  octets,
  parsed,
  rootTerms,
  SERVER_AUTH,
  SIGNING_USAGE,
  sequence,
  subjectKeyId,
  type Terms,
  TIMESTAMPING,
  oid,
} from "./virtual-ca.ts";

type Asked = { intermediates?: Holder[]; time?: number; purpose?: ChainPurpose };

function chainOf(leaf: Holder, authorities: Authority[], asked: Asked = {}): Promise<ChainResult> {
  const { intermediates = [], time = NOW, purpose = "code-signing" } = asked;
  return verifyChain(nodeCrypto, {
    leaf: parsed(leaf),
    intermediates: intermediates.map(parsed),
    authorities,
    time,
    purpose,
  });
}

async function outcomeOf(leaf: Holder, authorities: Authority[], asked: Asked = {}): Promise<string> {
  const result = await chainOf(leaf, authorities, asked);
  // Whatever the answer, the explanation says so.
  expect(result.steps.length).toBeGreaterThan(0);
  expect(result.steps.some(({ outcome }) => outcome === (result.ok ? "passed" : "failed"))).toBe(true);
  return result.ok ? "ok" : result.code;
}

/** The chain as made, with the intermediate in the authority. */
async function outcomeWith(changes: Parameters<typeof codeSigningChain>[0], asked: Asked = {}): Promise<string> {
  const { root, intermediate, leaf } = codeSigningChain(changes);
  return outcomeOf(leaf, [authorityOf(intermediate, root)], asked);
}

const good = codeSigningChain();
const authority = authorityOf(good.intermediate, good.root);

describe("a chain is good", () => {
  test("when the authority holds root and intermediate, alike through every crypto port", async () => {
    for (const crypto of [nodeCrypto, webCrypto, nobleCrypto]) {
      const result = await verifyChain(crypto, {
        leaf: parsed(good.leaf),
        intermediates: [],
        authorities: [authority],
        time: NOW,
        purpose: "code-signing",
      });
      expect(result.ok && result.chain.map(({ subjectText }) => subjectText)).toEqual([
        "",
        "CN=Intermediate,O=Acme",
        "CN=Root,O=Acme",
      ]);
    }
  });

  test("when the intermediate comes with the evidence, among others that lead nowhere", async () => {
    const other = codeSigningChain({ root: { name: ["CN=Elsewhere"], key: keyOf("elsewhere") } });
    const intermediates = [other.intermediate, other.root, good.root, good.leaf, good.intermediate];
    expect(await outcomeOf(good.leaf, [authorityOf(good.root)], { intermediates })).toBe("ok");
  });

  test("when the anchor is an intermediate that is trusted by itself", async () => {
    expect(await outcomeOf(good.leaf, [authorityOf(good.intermediate)])).toBe("ok");
  });

  test("when an older authority of the same name stands before the right one", async () => {
    const renewed = codeSigningChain({ root: { key: keyOf("renewed root") } });
    expect(await outcomeOf(renewed.leaf, [authority, authorityOf(renewed.intermediate, renewed.root)])).toBe("ok");
  });

  test("at the first and the last moment of the leaf, and not a millisecond outside", async () => {
    const { notBefore, notAfter } = parsed(good.leaf);
    expect(await outcomeOf(good.leaf, [authority], { time: notBefore })).toBe("ok");
    expect(await outcomeOf(good.leaf, [authority], { time: notAfter })).toBe("ok");
    expect(await outcomeOf(good.leaf, [authority], { time: notBefore - 1 })).toBe("certificate-expired");
    expect(await outcomeOf(good.leaf, [authority], { time: notAfter + 1 })).toBe("certificate-expired");
  });

  test.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512"] as const)(
    "when %s keys sign with another hash than their own",
    async (algorithm) => {
      const key = keyOf("chain", algorithm);
      for (const signing of ["sha256", "sha384", "sha512"] as const) {
        const changes = { root: { key, signing }, intermediate: { signing } };
        expect([signing, await outcomeWith(changes)]).toEqual([signing, "ok"]);
      }
    },
  );

  test.each(["sha256", "sha384", "sha512", "pss-sha256", "pss-sha512"] as const)("with RSA and %s", async (signing) => {
    const key = keyOf("chain", "rsa-pkcs1-sha256");
    expect(await outcomeWith({ root: { key, signing }, intermediate: { signing } })).toBe("ok");
  });

  test("with Ed25519", async () => {
    expect(await outcomeWith({ root: { key: keyOf("chain", "ed25519") } })).toBe("ok");
  });

  test("when policies are critical, which restrict nobody who asks for none", async () => {
    const policies = extension("2.5.29.32", sequence(sequence(oid("2.5.29.32.0"))), true);
    const extensions = [basicConstraints(true, 0), CA_USAGE, policies];
    expect(await outcomeWith({ intermediate: { extensions } })).toBe("ok");
  });
});

describe("a chain is refused as certificate-expired", () => {
  const expired = { notBefore: NOW - 100 * DAY, notAfter: NOW - DAY };
  test("when the leaf is used outside its time", async () => {
    expect(await outcomeOf(good.leaf, [authority], { time: NOW + DAY })).toBe("certificate-expired");
    expect(await outcomeOf(good.leaf, [authority], { time: NOW - DAY })).toBe("certificate-expired");
  });

  // CVE-2026-24122: a verifier that judges the leaf at the signing time and nobody else.
  test("when the intermediate had expired, though the leaf had not", async () => {
    expect(await outcomeWith({ intermediate: expired })).toBe("certificate-expired");
  });

  test("when the intermediate was not valid yet", async () => {
    expect(await outcomeWith({ intermediate: { notBefore: NOW + 1_000, notAfter: NOW + DAY } })).toBe(
      "certificate-expired",
    );
  });

  test("when the root had expired", async () => {
    expect(await outcomeWith({ root: expired })).toBe("certificate-expired");
  });

  test("when its validity ends before it begins", async () => {
    expect(await outcomeWith({ leaf: { notBefore: NOW + DAY, notAfter: NOW - DAY } })).toBe("certificate-expired");
  });
});

describe("a chain is refused as chain-untrusted", () => {
  test("when the authority is another, or there is none", async () => {
    const other = codeSigningChain({ root: { key: keyOf("other root") }, intermediate: { key: keyOf("other") } });
    expect(await outcomeOf(good.leaf, [authorityOf(other.intermediate, other.root)])).toBe("chain-untrusted");
    expect(await outcomeOf(good.leaf, [])).toBe("chain-untrusted");
  });

  test("when an authority of the same name holds another key", async () => {
    const impostor = issue({ ...rootTerms(), key: keyOf("impostor") });
    expect(await outcomeOf(good.leaf, [authorityOf(good.intermediate, impostor)])).toBe("chain-untrusted");
  });

  test("when the intermediate is missing", async () => {
    expect(await outcomeOf(good.leaf, [authorityOf(good.root)])).toBe("chain-untrusted");
  });

  test("when the issuer's name differs in nothing but its string type", async () => {
    const alter = (fields: Uint8Array[]): Uint8Array[] => fields.with(3, nameOf(["O=Acme", "CN=Intermediate"], 0x13));
    expect(await outcomeWith({ leaf: { alter } })).toBe("chain-untrusted");
  });

  test("when the authority is not trusted at that time; its ends count", async () => {
    const window = (validFrom: number | null, validUntil: number | null): Authority[] => [
      { ...authority, validFrom, validUntil },
    ];
    expect(await outcomeOf(good.leaf, window(NOW, NOW))).toBe("ok");
    expect(await outcomeOf(good.leaf, window(NOW + 1, null))).toBe("chain-untrusted");
    expect(await outcomeOf(good.leaf, window(null, NOW - 1))).toBe("chain-untrusted");
  });

  test("when the leaf is listed as the authority itself", async () => {
    expect(await outcomeOf(good.leaf, [authorityOf(good.leaf)])).toBe("chain-untrusted");
    const selfSigned = issue({ name: ["CN=Self"], extensions: [SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING])] });
    expect(await outcomeOf(selfSigned, [authorityOf(selfSigned)])).toBe("chain-untrusted");
    expect(await outcomeOf(selfSigned, [authorityOf(selfSigned)], { intermediates: [selfSigned] })).toBe(
      "chain-untrusted",
    );
  });

  test("when a self-signed authority comes with the evidence only", async () => {
    const own = codeSigningChain({ root: { key: keyOf("own root") }, intermediate: { key: keyOf("own") } });
    const intermediates = [own.intermediate, own.root];
    expect(await outcomeOf(own.leaf, [authority], { intermediates })).toBe("chain-untrusted");
  });

  test.each([0, 1, 2])("when the signature of certificate %i has one bit changed", async (which) => {
    const holders = [good.leaf, good.intermediate, good.root];
    const damaged = holders.map((holder, i) => {
      const at = holder.der.length - 5;
      return i === which ? { ...holder, der: holder.der.with(at, (holder.der[at] ?? 0) ^ 1) } : holder;
    });
    const [leaf = good.leaf, intermediate = good.leaf, root = good.leaf] = damaged;
    // An anchor is believed because it is listed, not because it signed itself: RFC 5280 §6.1.1 (d).
    expect(await outcomeOf(leaf, [authorityOf(intermediate, root)])).toBe(which === 2 ? "ok" : "chain-untrusted");
  });

  test("when two authorities vouch for one another in a circle", async () => {
    const [a, b] = [keyOf("circle a"), keyOf("circle b")];
    const extensions = [basicConstraints(true), CA_USAGE];
    const nameA = nameOf(["CN=A"]);
    const nameB = nameOf(["CN=B"]);
    const byB = issue({ name: ["CN=A"], key: a, issuer: { name: nameB, key: b, der: new Uint8Array() }, extensions });
    const byA = issue({ name: ["CN=B"], key: b, issuer: { name: nameA, key: a, der: new Uint8Array() }, extensions });
    const leaf = issue({ name: [], key: keyOf("ca leaf"), issuer: byB, extensions: leafExtensions(a) });
    expect(await outcomeOf(leaf, [authority], { intermediates: [byA, byB] })).toBe("chain-untrusted");
  });

  test("when the chain is longer than any that is needed", async () => {
    const links: Holder[] = [issue(rootTerms("Long"))];
    for (let i = 0; i < 10; i++) {
      const extensions = [basicConstraints(true), CA_USAGE];
      links.push(issue({ name: [`CN=Link ${i}`], issuer: links.at(-1) ?? good.root, extensions }));
    }
    const leafUnder = (issuer: Holder): Holder =>
      issue({ name: [], key: keyOf("ca leaf"), issuer, extensions: leafExtensions(issuer.key) });
    const [root = good.root, ...intermediates] = links;
    const asked = { intermediates };
    expect(await outcomeOf(leafUnder(links[6] ?? root), [authorityOf(root)], asked)).toBe("ok");
    expect(await outcomeOf(leafUnder(links[7] ?? root), [authorityOf(root)], asked)).toBe("chain-untrusted");
  });

  test("with no check by a presented key, when no authority has vouched for any of what is presented", async () => {
    const asked: string[] = [];
    const counting = {
      ...nodeCrypto,
      verifyAs: (...[key, ...rest]: Parameters<typeof nodeCrypto.verifyAs>) => {
        asked.push(key.keyId);
        return nodeCrypto.verifyAs(key, ...rest);
      },
    };
    const { root, intermediate, leaf } = codeSigningChain();
    // P-521 is the dearest to check: a kibibyte of certificates for every few milliseconds.
    const presented = Array.from({ length: 8 }, (_, i) => {
      const key = keyOf(`dear ${i}`, "ecdsa-p521-sha512");
      const extensions = [basicConstraints(true), CA_USAGE];
      return issue({ name: ["O=Acme", "CN=Intermediate"], key, signing: "sha512", extensions });
    });
    const result = await verifyChain(counting, {
      leaf: parsed(leaf),
      intermediates: presented.map(parsed),
      authorities: [authorityOf(root)],
      time: NOW,
      purpose: "code-signing",
    });
    expect(result).toMatchObject({ ok: false, code: "chain-untrusted" });
    expect(asked.filter((keyId) => keyId !== root.key.publicKey.keyId)).toEqual([]);
    expect(await outcomeOf(leaf, [authorityOf(root)], { intermediates: [...presented, intermediate] })).toBe("ok");
  });

  test("within a bounded number of signatures, however many certificates of one name are presented", async () => {
    let verified = 0;
    const counting = {
      ...nodeCrypto,
      verifyAs: (...asked: Parameters<typeof nodeCrypto.verifyAs>) => {
        verified++;
        return nodeCrypto.verifyAs(...asked);
      },
    };
    // Each vouches for each: the number of paths is factorial.
    const keys = Array.from({ length: 12 }, (_, i) => keyOf(`maze ${i}`));
    const name = nameOf(["CN=Maze"]);
    const maze = keys.flatMap((key) =>
      keys.map((issuer) =>
        issue({
          name: ["CN=Maze"],
          key,
          issuer: { name, key: issuer, der: new Uint8Array() },
          extensions: [basicConstraints(true), CA_USAGE],
        }),
      ),
    );
    const leaf = issue({
      name: [],
      key: keyOf("ca leaf"),
      issuer: { name, key: keys[0] ?? keyOf("maze 0"), der: new Uint8Array() },
      extensions: leafExtensions(keyOf("maze 0")),
    });
    const started = performance.now();
    const result = await verifyChain(counting, {
      leaf: parsed(leaf),
      intermediates: maze.map(parsed),
      authorities: [authority],
      time: NOW,
      purpose: "any",
    });
    expect(result).toMatchObject({ ok: false, code: "chain-untrusted" });
    expect(verified).toBeLessThanOrEqual(64 + 4);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});

describe("a chain is refused as weak-algorithm", () => {
  test.each(["leaf", "intermediate"] as const)("when the %s is signed over SHA-1", async (which) => {
    expect(await outcomeWith({ [which]: { signing: "sha1" } })).toBe("weak-algorithm");
    const key = keyOf("chain", "rsa-pkcs1-sha256");
    const changes = { root: { key }, intermediate: { key } };
    expect(
      await outcomeWith({ ...changes, [which]: { ...(which === "intermediate" ? { key } : {}), signing: "sha1" } }),
    ).toBe("weak-algorithm");
  });

  test("but not because the anchor signed itself so", async () => {
    expect(await outcomeWith({ root: { signing: "sha1" } })).toBe("ok");
  });
});

describe("a chain is refused as certificate-invalid", () => {
  const intermediateWith = (...extensions: Uint8Array[]): { intermediate: Partial<Terms> } => ({
    intermediate: { extensions },
  });
  const leafWith = (...extensions: Uint8Array[]): { leaf: Partial<Terms> } => ({ leaf: { extensions } });
  const unknown = extension("1.2.3.4", octets(), true);
  const usage = extendedKeyUsage([CODE_SIGNING]);

  test.each<[string, Parameters<typeof codeSigningChain>[0]]>([
    ["the issuer may not issue by its key usage", intermediateWith(basicConstraints(true, 0), keyUsage(0))],
    ["the issuer may sign revocation lists only", intermediateWith(basicConstraints(true, 0), keyUsage(6))],
    ["the root allows no issuer below it", { root: { extensions: [basicConstraints(true, 0), CA_USAGE] } }],
    ["the root has a critical extension that is unknown", { root: { extensions: [basicConstraints(true), unknown] } }],
    ["the issuer has one", intermediateWith(basicConstraints(true, 0), CA_USAGE, unknown)],
    ["the leaf has one", leafWith(SIGNING_USAGE, usage, unknown)],
    [
      "a policy is demanded",
      intermediateWith(basicConstraints(true, 0), CA_USAGE, extension("2.5.29.36", sequence(), true)),
    ],
    [
      "the leaf is poisoned, as before a log has seen it",
      leafWith(usage, extension("1.3.6.1.4.1.11129.2.4.3", Uint8Array.of(5, 0), true)),
    ],
    ["the leaf is an authority", leafWith(basicConstraints(true), usage)],
    ["the leaf may only agree on keys", leafWith(keyUsage(4), usage)],
    ["the leaf may sign, but not digitally", leafWith(keyUsage(1), usage)],
    ["the leaf names no usage", leafWith(SIGNING_USAGE)],
    ["the leaf is for servers", leafWith(SIGNING_USAGE, extendedKeyUsage([SERVER_AUTH]))],
    ["the leaf is for anything", leafWith(SIGNING_USAGE, extendedKeyUsage(["2.5.29.37.0"]))],
    [
      "the issuer is for servers",
      intermediateWith(basicConstraints(true, 0), CA_USAGE, extendedKeyUsage([SERVER_AUTH])),
    ],
    [
      "the root is for servers",
      { root: { extensions: [basicConstraints(true), CA_USAGE, extendedKeyUsage([SERVER_AUTH])] } },
    ],
  ])("when %s", async (_, changes) => {
    expect(await outcomeWith(changes)).toBe("certificate-invalid");
  });

  test("when the anchor is no authority", async () => {
    const root = issue({ ...rootTerms("Plain"), extensions: [subjectKeyId(keyOf("ca O=Acme,CN=Plain"))] });
    const leaf = issue({ name: [], key: keyOf("ca leaf"), issuer: root, extensions: leafExtensions(root.key) });
    expect(await outcomeOf(leaf, [authorityOf(root)])).toBe("certificate-invalid");
  });

  test("never through an intermediate that is no authority", async () => {
    const { root, intermediate, leaf } = codeSigningChain(intermediateWith(CA_USAGE));
    expect(await outcomeOf(leaf, [authorityOf(intermediate, root)])).toBe("chain-untrusted");
    const below = issue({
      name: [],
      key: keyOf("below"),
      issuer: good.leaf,
      extensions: leafExtensions(good.leaf.key),
    });
    expect(await outcomeOf(below, [authority], { intermediates: [good.leaf] })).toBe("chain-untrusted");
  });

  test("when the path is longer than an issuer allows, not counting an issuer's own successors", async () => {
    const root = issue({ ...rootTerms("Short"), extensions: [basicConstraints(true, 1), CA_USAGE] });
    const extensions = [basicConstraints(true), CA_USAGE];
    const successor = issue({ ...rootTerms("Short"), key: keyOf("successor"), issuer: root, extensions });
    const first = issue({ name: ["CN=First"], issuer: successor, extensions });
    const second = issue({ name: ["CN=Second"], issuer: first, extensions });
    const leafUnder = (issuer: Holder): Holder =>
      issue({ name: [], key: keyOf("ca leaf"), issuer, extensions: leafExtensions(issuer.key) });
    const asked = { intermediates: [successor, first, second] };
    expect(await outcomeOf(leafUnder(first), [authorityOf(root)], asked)).toBe("ok");
    expect(await outcomeOf(leafUnder(second), [authorityOf(root)], asked)).toBe("certificate-invalid");
  });
});

describe("purposes", () => {
  const stamping = (
    extensions: Uint8Array[],
    intermediate: Uint8Array[] = [],
  ): Parameters<typeof codeSigningChain>[0] => ({
    intermediate: { extensions: [basicConstraints(true, 0), CA_USAGE, ...intermediate] },
    leaf: { extensions },
  });
  const asked = { purpose: "timestamping" } as const;

  test("timestamping asks for that usage alone, critically, and nested", async () => {
    const critical = extendedKeyUsage([TIMESTAMPING], true);
    expect(await outcomeWith(stamping([SIGNING_USAGE, critical]), asked)).toBe("ok");
    expect(await outcomeWith(stamping([keyUsage(1), critical]), asked)).toBe("ok");
    expect(await outcomeWith(stamping([critical], [extendedKeyUsage([TIMESTAMPING])]), asked)).toBe("ok");
    expect(await outcomeWith(stamping([critical], [extendedKeyUsage([CODE_SIGNING])]), asked)).toBe(
      "certificate-invalid",
    );
    for (const usage of [
      [],
      [extendedKeyUsage([TIMESTAMPING])],
      [extendedKeyUsage([TIMESTAMPING, CODE_SIGNING], true)],
      [extendedKeyUsage([CODE_SIGNING], true)],
      [critical, basicConstraints(true)],
    ]) {
      expect(await outcomeWith(stamping([SIGNING_USAGE, ...usage]), asked)).toBe("certificate-invalid");
    }
  });

  test("a code-signing chain is none for timestamping, and the other way round", async () => {
    expect(await outcomeOf(good.leaf, [authority], asked)).toBe("certificate-invalid");
    expect(await outcomeWith(stamping([extendedKeyUsage([TIMESTAMPING], true)]))).toBe("certificate-invalid");
  });

  test("any asks for a signature, and for no extended usage", async () => {
    const any = { purpose: "any" } as const;
    expect(await outcomeWith({ leaf: { extensions: [SIGNING_USAGE] } }, any)).toBe("ok");
    expect(await outcomeWith({ leaf: { extensions: [keyUsage(4)] } }, any)).toBe("certificate-invalid");
    expect(await outcomeWith({ leaf: { extensions: [basicConstraints(true)] } }, any)).toBe("certificate-invalid");
  });
});

test("key identifiers order the search and decide nothing", async () => {
  const wrong = authorityKeyId(keyOf("nobody"));
  const extensions = [SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING]), wrong];
  expect(await outcomeWith({ leaf: { extensions } })).toBe("ok");
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 1.5])("the time %d is none", async (time) => {
  await expect(chainOf(good.leaf, [authority], { time })).rejects.toThrow(code("time-invalid"));
});

test("the newest of many authorities of one name is found", async () => {
  const older = Array.from({ length: 60 }, (_, i) => {
    const key = keyOf(`older ${i}`);
    return authorityOf(issue({ ...rootTerms("Root", key) }));
  });
  const asked = { intermediates: [good.intermediate] };
  expect(await outcomeOf(good.leaf, [...older, authorityOf(good.root)], asked)).toBe("ok");
});

test("a refusal tells the rule that failed, below the chain it failed for", async () => {
  const { root, intermediate, leaf } = codeSigningChain({ intermediate: { notAfter: NOW - DAY } });
  const result = await chainOf(leaf, [authorityOf(intermediate, root)]);
  expect(result).toMatchObject({
    ok: false,
    code: "certificate-expired",
    message: expect.stringContaining("CN=Intermediate,O=Acme") as string,
    steps: [
      { check: "certificate-chain", outcome: "failed", steps: [{ check: "certificate-validity", outcome: "failed" }] },
    ],
  });
});
