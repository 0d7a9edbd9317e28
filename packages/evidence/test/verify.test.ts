import { p256 } from "@noble/curves/nist.js";
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  digestHex,
  digestOf,
  distinct,
  fromBase64,
  type KeyAlgorithm,
  keyHint,
  nobleCrypto,
  readEvidence,
  signStatement,
  toBase64,
  toHex,
  utf8Encode,
  type Verified,
  verify,
  webCrypto,
} from "../src/index.ts";
import { EC_CURVES } from "../src/keys.ts";
import { signatureCore } from "../src/signature.ts";
import { code } from "./failure.ts";
import {
  artifactOf,
  bundleOfPayload,
  changed,
  entryFor,
  keyOf,
  messageBundle,
  outcomeOf,
  PREDICATE_TYPE,
  payloadAbout,
  receivedAt,
  sha256Of,
  statementBundle,
  trustIn,
} from "./virtual.ts";

const { bytes: artifactBytes, digest: artifact } = artifactOf();
const key = keyOf("build");
const trust = trustIn(entryFor(key));

async function verified(bundle: Uint8Array, more: Partial<Parameters<typeof verify>[1]> = {}): Promise<Verified> {
  const verdict = await verify(nodeCrypto, { bundle, artifact, trust, times: [], ...more });
  if (verdict.status !== "verified") throw new Error(`${verdict.code}: ${verdict.message}`);
  return verdict;
}

describe("a verified statement", () => {
  test("says who said what about which digest, and under which entry", async () => {
    const bundle = await statementBundle(key, artifact);
    const payload = payloadAbout(artifact);
    expect(await verified(bundle)).toEqual({
      status: "verified",
      evidence: digestOf(nodeCrypto, bundle),
      statement: {
        predicateType: PREDICATE_TYPE,
        subjects: [{ name: "file-0", digest: { sha256: digestHex(artifact) } }],
        predicate: { result: "PASSED" },
      },
      signer: {
        kind: "key",
        principal: key.publicKey.keyId,
        keyId: key.publicKey.keyId,
        algorithm: "ecdsa-p256-sha256",
        entry: trust.entries[0]?.id,
        name: "build",
        entries: [{ entry: trust.entries[0]?.id, name: "build", counts: true }],
      },
      primary: false,
      time: null,
      payloadDigest: digestOf(nodeCrypto, payload),
      notEvaluated: [],
      steps: [
        { check: "form", outcome: "passed", detail: "It is a Sigstore bundle." },
        {
          check: "signature",
          outcome: "passed",
          detail: `The key sha256:${key.publicKey.keyId} made the signature (ecdsa-p256-sha256).`,
        },
        { check: "statement", outcome: "passed", detail: `What is signed can be read: ${PREDICATE_TYPE}.` },
        { check: "subject", outcome: "passed", detail: `It is about ${artifact}.` },
        {
          check: "trust",
          outcome: "passed",
          detail: `Trust version 7 believes "build" (${trust.entries[0]?.id}) about this.`,
        },
      ],
    });
  });

  test.each(["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "rsa-pkcs1-sha256", "ed25519"] as const)(
    "may be signed with %s, and gives the same verdict through every crypto port",
    async (algorithm) => {
      const signer = keyOf("build", algorithm);
      const request = { artifact, trust: trustIn(entryFor(signer)), times: [] };
      const bundle = await statementBundle(signer, artifact);
      const forged = await statementBundle(keyOf("forger", algorithm), artifact);
      const relabelled = changed(forged, (json) => {
        json.verificationMaterial.publicKey.hint = keyHint(signer.publicKey);
      });
      const message = await messageBundle(signer, artifactBytes);
      for (const crypto of [nodeCrypto, webCrypto, nobleCrypto]) {
        expect((await verify(crypto, { ...request, bundle })).status).toBe("verified");
        expect(await verify(crypto, { ...request, bundle: relabelled })).toMatchObject({ code: "signature-invalid" });
        expect((await verify(crypto, { ...request, bundle: message, artifactBytes })).status).toBe("verified");
      }
    },
  );

  test("may have several subjects, of which one must be the artifact", async () => {
    const other = sha256Of("other");
    const bundle = await statementBundle(key, artifact, { subjects: [other, artifact] });
    expect((await verified(bundle)).statement.subjects).toHaveLength(2);
    expect(await outcomeOf(bundle, other, trust)).toBe("verified");
    expect(await outcomeOf(bundle, sha256Of("a third"), trust)).toBe("subject-mismatch");
  });
});

describe("who signed", () => {
  test("an untrusted key is unknown, however good its signature", async () => {
    expect(await outcomeOf(await statementBundle(keyOf("stranger"), artifact), artifact, trust)).toBe("unknown-signer");
    expect(await outcomeOf(await statementBundle(key, artifact), artifact, trustIn())).toBe("unknown-signer");
  });

  test("without a hint every trusted key is tried", async () => {
    const bundle = changed(await statementBundle(key, artifact), (json) => {
      delete json.verificationMaterial.publicKey.hint;
    });
    const both = trustIn(entryFor(keyOf("other"), { id: "other" }), entryFor(key));
    expect(await outcomeOf(bundle, artifact, both)).toBe("verified");
    expect(await outcomeOf(bundle, artifact, trustIn(entryFor(keyOf("other"))))).toBe("unknown-signer");
  });

  test("keyid serves as hint, in hex or base64, and must not contradict the hint", async () => {
    const bundle = await statementBundle(key, artifact);
    const withKeyid = (keyid: string, dropHint = false): Uint8Array =>
      changed(bundle, (json) => {
        for (const signature of json.dsseEnvelope.signatures) signature.keyid = keyid;
        if (dropHint) delete json.verificationMaterial.publicKey.hint;
      });
    const { keyId } = key.publicKey;
    const base64 = Buffer.from(keyId, "hex").toString("base64");
    const both = trustIn(entryFor(keyOf("other"), { id: "other" }), entryFor(key));
    for (const keyid of [keyId, base64, ""]) {
      expect(await outcomeOf(withKeyid(keyid), artifact, both)).toBe("verified");
      expect(await outcomeOf(withKeyid(keyid, true), artifact, both)).toBe("verified");
    }
    for (const keyid of [keyOf("other").publicKey.keyId, keyId.toUpperCase(), "build", base64.slice(0, -1)]) {
      expect(await outcomeOf(withKeyid(keyid), artifact, both)).toBe("unknown-signer");
    }
  });

  test("a certificate that cannot be read proves nobody", async () => {
    const bundle = changed(await statementBundle(key, artifact), (json) => ({
      ...json,
      verificationMaterial: { certificate: { rawBytes: "AAAA" } },
    }));
    expect(await outcomeOf(bundle, artifact, trust)).toBe("certificate-invalid");
  });

  test("an inconsistent trust entry is an error of the request, not a verdict", async () => {
    const bundle = await statementBundle(key, artifact);
    const broken = trustIn(entryFor(key, { publicKeyPem: entryFor(keyOf("other")).publicKeyPem }));
    await expect(verify(nodeCrypto, { bundle, artifact, trust: broken, times: [] })).rejects.toThrow(
      code("trust-invalid"),
    );
  });
});

describe("what is said must be a statement", () => {
  const about = `"subject":[{"digest":{"sha256":"${digestHex(artifact)}"}}]`;
  const v1 = `"_type":"https://in-toto.io/Statement/v1"`;
  const type = `"predicateType":"https://example.com/x"`;
  test.each([
    ["{}", "malformed"],
    ["not json", "malformed"],
    [`{${v1},${about},${type},"predicate":{}}`, "verified"],
    [`{${v1},${about},${type}}`, "verified"],
    [`{${v1},${about},${type},"unknown":1}`, "verified"],
    [`{${v1},${about},${type},"predicate":null}`, "malformed"],
    [`{${v1},${about},${type},"predicate":[]}`, "malformed"],
    [`{${v1},${about},${type},"predicate":"x"}`, "malformed"],
    [`{${v1},${about},${type},"predicate":{"a":1,"a":2}}`, "malformed"],
    [`{${v1},${v1},${about},${type}}`, "malformed"],
    [`{${v1},${about},${type},"predicate":{"__proto__":{}}}`, "malformed"],
    [`{${v1},${about},"predicateType":""}`, "malformed"],
    [`{${v1},${about},"predicateType":"a b"}`, "malformed"],
    [`{${v1},${about},"predicateType":"https://assay.dev/message-signature/v1"}`, "malformed"],
    [`{${v1},${about}}`, "malformed"],
    [`{${about},${type}}`, "malformed"],
    [`{"_type":"https://in-toto.io/Statement/v2",${about},${type}}`, "malformed"],
    [`{"_type":"https://in-toto.io/Statement/v0.1",${about},${type}}`, "verified"],
    [`{${v1},"subject":[],${type}}`, "malformed"],
    [`{${v1},"subject":{},${type}}`, "malformed"],
    [`{${v1},"subject":[{}],${type}}`, "malformed"],
    [`{${v1},"subject":[{"digest":{}}],${type}}`, "malformed"],
    [`{${v1},"subject":[{"digest":{"sha256":"${digestHex(artifact).toUpperCase()}"}}],${type}}`, "malformed"],
    [`{${v1},"subject":[{"digest":{"sha256":1}}],${type}}`, "malformed"],
    [`{${v1},"subject":[{"digest":{"sha512":"${digestHex(artifact)}"}}],${type}}`, "subject-mismatch"],
    [`{${v1},"subject":[{"name":1,"digest":{"sha256":"${digestHex(artifact)}"}}],${type}}`, "malformed"],
    [`{${v1},"subject":[{"name":"${artifact}","digest":{"sha1":"00"}}],${type}}`, "subject-mismatch"],
    [`\ufeff{${v1},${about},${type}}`, "malformed"],
    [`{${v1},${about},${type},"predicate":${'{"a":'.repeat(70)}1${"}".repeat(70)}}`, "malformed"],
  ])("%s: %s", async (payload, expected) => {
    expect(await outcomeOf(bundleOfPayload(key, utf8Encode(payload)), artifact, trust)).toBe(expected);
  });

  test("more than 10,000 subjects are refused", async () => {
    const subject = `{"digest":{"sha256":"${digestHex(artifact)}"}}`;
    const payload = (n: number): Uint8Array =>
      utf8Encode(`{${v1},${type},"subject":[${Array(n).fill(subject).join(",")}]}`);
    expect(await outcomeOf(bundleOfPayload(key, payload(10_000)), artifact, trust)).toBe("verified");
    expect(await outcomeOf(bundleOfPayload(key, payload(10_001)), artifact, trust)).toBe("malformed");
  });

  test("another payload type is unsupported", async () => {
    expect(await outcomeOf(bundleOfPayload(key, payloadAbout(artifact), "application/json"), artifact, trust)).toBe(
      "unsupported",
    );
  });

  test("a bundle beyond 16 MiB is refused", async () => {
    const padded = new Uint8Array(16 * 1024 * 1024 + 1).fill(0x20);
    padded.set(await statementBundle(key, artifact));
    expect(await outcomeOf(padded, artifact, trust)).toBe("malformed");
    expect(await outcomeOf(padded.subarray(0, -1), artifact, trust)).toBe("verified");
  });
});

describe("scope", () => {
  const scoped = (repositories: string[], predicateTypes: string[]) =>
    trustIn(entryFor(key, { scope: { repositories, predicateTypes } }));

  test.each([
    [["acme/app"], ["*"], "acme/app", "verified"],
    [["acme/app"], ["*"], "acme/other", "out-of-scope"],
    [["acme/app"], ["*"], undefined, "out-of-scope"],
    [["**"], ["*"], undefined, "verified"],
    [["acme/*", "x/y"], [PREDICATE_TYPE], "x/y", "verified"],
    [["**"], ["https://example.com/other"], "acme/app", "out-of-scope"],
    [["**"], ["https://example.com/*"], "acme/app", "out-of-scope"],
    [[], ["*"], "acme/app", "out-of-scope"],
    [["**"], [], "acme/app", "out-of-scope"],
  ])("repositories %j and types %j for %s: %s", async (repositories, types, repository, expected) => {
    const more = repository === undefined ? {} : { repository };
    expect(await outcomeOf(await statementBundle(key, artifact), artifact, scoped(repositories, types), more)).toBe(
      expected,
    );
  });
});

describe("time", () => {
  const windowed = trustIn(entryFor(key, { validFrom: 1000, validUntil: 2000 }));

  test.each<[number[], string]>([
    [[], "time-unproven"],
    [[999], "outside-validity"],
    [[1000], "verified"],
    [[1500], "verified"],
    [[2000], "verified"],
    [[2001], "outside-validity"],
    [[2500, 1500], "verified"],
    [[500, 2500], "outside-validity"],
  ])("a key trusted from 1000 to 2000, proven at %j: %s", async (times, expected) => {
    expect(
      await outcomeOf(await statementBundle(key, artifact), artifact, windowed, { times: times.map(receivedAt) }),
    ).toBe(expected);
  });

  test("each end may be open, and still needs a proven time", async () => {
    const bundle = await statementBundle(key, artifact);
    for (const window of [{ validFrom: 0 }, { validUntil: 2000 }]) {
      expect(await outcomeOf(bundle, artifact, trustIn(entryFor(key, window)))).toBe("time-unproven");
      expect(await outcomeOf(bundle, artifact, trustIn(entryFor(key, window)), { times: [receivedAt(7)] })).toBe(
        "verified",
      );
    }
  });

  test("the earliest proven time within the window is the one reported", async () => {
    const bundle = await statementBundle(key, artifact);
    const times = [receivedAt(1800), receivedAt(1200), receivedAt(100)];
    expect((await verified(bundle, { trust: windowed, times })).time).toEqual(receivedAt(1200));
    expect((await verified(bundle, { times })).time).toEqual(receivedAt(100));
  });

  test("a time that is none is an error of the request", async () => {
    const bundle = await statementBundle(key, artifact);
    for (const time of [Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY]) {
      await expect(verified(bundle, { trust: windowed, times: [receivedAt(time)] })).rejects.toThrow(
        code("time-invalid"),
      );
    }
  });
});

describe("several entries of one key", () => {
  const here = { repositories: ["acme/app"], predicateTypes: ["*"] };
  const there = { repositories: ["acme/other"], predicateTypes: ["*"] };

  test("are judged each as a whole: the scope of one and the window of another make no match", async () => {
    const mixed = trustIn(
      entryFor(key, { id: "1", scope: here, validFrom: 1000, validUntil: 2000 }),
      entryFor(key, { id: "2", scope: there }),
    );
    const bundle = await statementBundle(key, artifact);
    const at = (time: number) => ({ repository: "acme/app", times: [receivedAt(time)] });
    expect(await outcomeOf(bundle, artifact, mixed, at(1500))).toBe("verified");
    expect(await outcomeOf(bundle, artifact, mixed, at(3000))).toBe("outside-validity");
    expect(await outcomeOf(bundle, artifact, mixed, { repository: "acme/app" })).toBe("time-unproven");
    expect(await outcomeOf(bundle, artifact, mixed, { repository: "acme/third" })).toBe("out-of-scope");
  });

  test("one match suffices, and a primary one goes first", async () => {
    const many = trustIn(
      entryFor(key, { id: "1", scope: there }),
      entryFor(key, { id: "2", scope: here }),
      entryFor(key, { id: "3", scope: here, primary: true }),
    );
    const verdict = await verified(await statementBundle(key, artifact), { trust: many, repository: "acme/app" });
    expect([verdict.signer.entry, verdict.primary]).toEqual(["3", true]);
  });

  test("are all told, in trust's order, and which of them cover the evidence by scope and window", async () => {
    const many = trustIn(
      entryFor(key, { id: "1", name: "elsewhere", scope: there }),
      entryFor(key, { id: "2", name: "expired", scope: here, validUntil: 500 }),
      entryFor(keyOf("other"), { id: "3", name: "another key" }),
      entryFor(key, { id: "4", name: "first", scope: here }),
      entryFor(key, { id: "5", name: "second", scope: here, validFrom: 1000, validUntil: 2000 }),
    );
    const bundle = await statementBundle(key, artifact);
    const asked = { trust: many, repository: "acme/app" };
    expect((await verified(bundle, { ...asked, times: [receivedAt(1500)] })).signer).toMatchObject({
      entry: "4",
      name: "first",
      entries: [
        { entry: "1", name: "elsewhere", counts: false },
        { entry: "2", name: "expired", counts: false },
        { entry: "4", name: "first", counts: true },
        { entry: "5", name: "second", counts: true },
      ],
    });
    const untimed = await verified(bundle, asked);
    expect(untimed.signer.entries.map(({ counts }) => counts)).toEqual([false, false, true, false]);
  });

  test("give one time, the earliest that any of them covers, whichever comes first", async () => {
    const bundle = await statementBundle(key, artifact);
    const bound = entryFor(key, { id: "1", scope: here, validFrom: 1000, validUntil: 2000 });
    const unbound = entryFor(key, { id: "2", scope: here, validFrom: 300 });
    const times = [receivedAt(1500), receivedAt(400), receivedAt(100)];
    for (const entries of [
      [bound, unbound],
      [unbound, bound],
    ]) {
      const asked = { trust: trustIn(...entries), repository: "acme/app" };
      expect((await verified(bundle, { ...asked, times })).time).toEqual(receivedAt(400));
    }
  });
});

describe("message signatures", () => {
  test("say that a key signed these bytes, and are checked from the digest alone", async () => {
    const verdict = await verified(await messageBundle(key, artifactBytes));
    expect(verdict.statement).toEqual({
      predicateType: "https://assay.dev/message-signature/v1",
      subjects: [{ digest: { sha256: digestHex(artifact) } }],
      predicate: {},
    });
    expect(verdict.payloadDigest).toBe(artifact);
  });

  test("over other bytes are about another artifact", async () => {
    const bundle = await messageBundle(key, utf8Encode("other"));
    expect(await outcomeOf(bundle, artifact, trust)).toBe("subject-mismatch");
    expect(await outcomeOf(bundle, artifact, trust, { artifactBytes })).toBe("subject-mismatch");
    expect(await outcomeOf(bundle, artifact, trust, { artifactBytes: utf8Encode("other") })).toBe("subject-mismatch");
  });

  test("with another's digest put in do not verify", async () => {
    const bundle = await messageBundle(key, utf8Encode("other"));
    const relabelled = changed(bundle, (json) => {
      json.messageSignature.messageDigest.digest = Buffer.from(digestHex(artifact), "hex").toString("base64");
    });
    expect(await outcomeOf(relabelled, artifact, trust)).toBe("signature-invalid");
    expect(await outcomeOf(relabelled, artifact, trust, { artifactBytes })).toBe("signature-invalid");
  });

  test("without the digest verify only where the key signs the message itself", async () => {
    const bare = (bundle: Uint8Array): Uint8Array =>
      changed(bundle, (json) => {
        json.messageSignature.messageDigest = {};
      });
    const edKey = keyOf("build", "ed25519");
    const ed = bare(await messageBundle(edKey, artifactBytes));
    expect(await outcomeOf(ed, artifact, trustIn(entryFor(edKey)), { artifactBytes })).toBe("verified");
    const ec = bare(await messageBundle(key, artifactBytes));
    expect(await outcomeOf(ec, artifact, trust, { artifactBytes })).toBe("signature-invalid");
    expect(await outcomeOf(ec, artifact, trust)).toBe("bytes-needed");
  });
});

describe("counting", () => {
  test("the same key saying the same thing twice counts once, whatever the bundles look like", async () => {
    const once = await statementBundle(key, artifact);
    // ECDSA signatures are random, so this is another bundle and another evidence digest, with the same payload.
    const again = await statementBundle(key, artifact);
    const padded = changed(once, (json) => {
      delete json.verificationMaterial.publicKey.hint;
    });
    const other = await statementBundle(key, artifact, { predicate: { result: "FAILED" } });
    const stranger = keyOf("second");
    const both = trustIn(entryFor(key), entryFor(stranger));
    const verdicts = await Promise.all(
      [once, again, padded, other, await statementBundle(stranger, artifact)].map((bundle) =>
        verified(bundle, { trust: both }),
      ),
    );
    expect(new Set(verdicts.map((verdict) => verdict.evidence)).size).toBe(5);
    expect(distinct(verdicts)).toEqual([verdicts[0], verdicts[3], verdicts[4]]);
  });
});

describe("readEvidence", () => {
  test("tells what a bundle claims, and calls it unverified", async () => {
    const bundle = await statementBundle(key, artifact, { subjects: [artifact, artifact, sha256Of("b")] });
    const read = readEvidence(nodeCrypto, bundle);
    expect(read.signature).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(read).toEqual({
      status: "unverified",
      digest: digestOf(nodeCrypto, bundle),
      form: "bundle",
      format: "dsse",
      predicateType: PREDICATE_TYPE,
      predicate: { result: "PASSED" },
      subjects: [artifact, sha256Of("b")],
      hint: Buffer.from(key.publicKey.keyId, "hex").toString("base64"),
      payloadDigest: digestOf(nodeCrypto, payloadAbout(artifact, { subjects: [artifact, artifact, sha256Of("b")] })),
      material: "publicKey",
      signature: read.signature,
      algorithm: null,
    });
    expect(readEvidence(nodeCrypto, await messageBundle(key, artifactBytes))).toMatchObject({
      format: "message-signature",
      subjects: [artifact],
      algorithm: "SHA2_256",
    });
  });

  test("names a signature the same in every wrapping, and another signature differently", async () => {
    const bundle = await statementBundle(key, artifact);
    const { signature } = readEvidence(nodeCrypto, bundle);
    const json = JSON.parse(Buffer.from(bundle).toString()) as Opened;
    const wrapped = (change: (json: Opened) => void): string => {
      const copy = structuredClone(json);
      change(copy);
      return readEvidence(nodeCrypto, utf8Encode(JSON.stringify(copy, null, 1))).signature;
    };
    expect(wrapped(() => undefined)).toBe(signature);
    expect(wrapped((copy) => (copy.verificationMaterial["tlogEntries"] = []))).toBe(signature);
    // The same act in its other form: s negated is as good, and high s is standard ECDSA.
    const [entry] = json.dsseEnvelope.signatures;
    const other = toBase64(negated(fromBase64(entry?.sig ?? "")));
    const twin = utf8Encode(
      JSON.stringify({ ...json, dsseEnvelope: { ...json.dsseEnvelope, signatures: [{ ...entry, sig: other }] } }),
    );
    expect((await verify(nodeCrypto, { bundle: twin, artifact, trust, times: [] })).status).toBe("verified");
    expect(readEvidence(nodeCrypto, twin).signature).toBe(signature);
    expect(readEvidence(nodeCrypto, await statementBundle(key, artifact)).signature).not.toBe(signature);
  });

  test("names a signature of another's nonce differently: a stolen key must not inherit the age of what it signed before", async () => {
    const secret = p256.utils.randomSecretKey();
    const { order } = EC_CURVES["ecdsa-p256-sha256"];
    const scalar = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);
    const hashed = (text: string): bigint => scalar(nodeCrypto.sha256(utf8Encode(text))) % order;
    const { Fn } = p256.Point;
    const old = p256.Signature.fromBytes(p256.sign(utf8Encode("old"), secret));
    const nonce = Fn.mul(Fn.inv(old.s), Fn.add(hashed("old"), Fn.mul(old.r, scalar(secret))));
    const s = Fn.mul(Fn.inv(nonce), Fn.add(hashed("new"), Fn.mul(old.r, scalar(secret))));
    const forged = new p256.Signature(old.r, s);
    const options = { lowS: false } as const;
    expect(p256.verify(forged.toBytes(), utf8Encode("new"), p256.getPublicKey(secret), options)).toBe(true);
    expect(signatureCore(forged.toBytes("der"))).not.toEqual(signatureCore(old.toBytes("der")));
    expect(signatureCore(negated(old.toBytes("der")))).toEqual(signatureCore(old.toBytes("der")));
  });

  test("names a signature on every curve the same with either s", () => {
    for (const [algorithm, { curve }] of Object.entries(EC_CURVES)) {
      const { r, s } = curve.Signature.fromBytes(keyOf("core", algorithm as KeyAlgorithm).sign(utf8Encode("x")), "der");
      const twin = new curve.Signature(r, curve.Point.Fn.ORDER - s).toBytes("der");
      expect(signatureCore(twin)).toEqual(signatureCore(new curve.Signature(r, s).toBytes("der")));
    }
  });
});

/** A bundle as the test above changes it. */
interface Opened {
  verificationMaterial: Record<string, unknown>;
  dsseEnvelope: { signatures: { sig: string }[] };
}

/** The P-256 signature (r, n - s) for (r, s), both in DER. */
function negated(der: Uint8Array): Uint8Array {
  const { r, s } = p256.Signature.fromBytes(der, "der");
  return new p256.Signature(r, p256.Point.Fn.ORDER - s).toBytes("der");
}

test("a signer that does not fit its public key is found out before the bundle leaves", async () => {
  const payloadBytes = payloadAbout(artifact);
  const sign = (bytes: Uint8Array): Uint8Array => keyOf("other").sign(bytes);
  await expect(signStatement({ payloadBytes, sign, publicKey: key.publicKey })).rejects.toThrow(code("sign-invalid"));
});

test("one core verifies 500 bundles a second and more", async () => {
  const bundle = await statementBundle(key, artifact);
  const request = { bundle, artifact, trust, times: [] };
  for (let i = 0; i < 50; i++) await verify(nodeCrypto, request);
  const start = performance.now();
  for (let i = 0; i < 500; i++) await verify(nodeCrypto, request);
  expect(performance.now() - start).toBeLessThan(1000);
});
