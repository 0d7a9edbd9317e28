/**
 * Attacks on the binding of evidence to artifact, signer and time, by the numbers of a list that was drawn up from what has gone wrong in
 * other verifiers. Each is carried out against `verify` with material that differs from good material in that one thing. The numbers
 * that are missing here are attacks on policies: packages/policy/test/adversarial.test.ts has them.
 */
import { describe, expect, it } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  type Digest,
  digestHex,
  type KeyEntry,
  type TrustEntry,
  type TrustRoot,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  verify,
  x509Root,
} from "../src/index.ts";
import { toBase64 } from "../src/encoding.ts";
import type { CertificateEntry, SubjectMatch } from "../src/trust.ts";
import {
  artifactOf,
  bundleOfPayload,
  changed,
  entryFor,
  keyOf,
  messageBundle,
  outcome,
  outcomeOf,
  payloadAbout,
  receivedAt,
  sha256Of,
  statementBundle,
  trustIn,
} from "./virtual.ts";
import {
  alternativeNames,
  authorityOf,
  CODE_SIGNING,
  codeSigningChain,
  DAY,
  extendedKeyUsage,
  general,
  issue,
  NOW,
  pemOf,
  SIGNING_USAGE,
} from "./virtual-ca.ts";
import {
  type BundleTerms,
  bundleBytes,
  bundleJson,
  certificate,
  ISSUER,
  rekor1,
  SUBJECT,
  trustRoot,
} from "./virtual-sigstore.ts";
import { certificateEntry } from "./virtual-trust.ts";

const { bytes: message, digest: artifact } = artifactOf();
const key = keyOf("build");
const trust = trustIn(entryFor(key));
const holder = certificate();
const V2 = { message, entries: ["hashedrekord 0.0.2"] } as const satisfies BundleTerms;

const trusting = (entry: TrustEntry = certificateEntry(), root: TrustRoot = trustRoot()): TrustVersion => ({
  ...trustIn(entry),
  roots: [root],
});
const keyless = (terms: BundleTerms, under = trusting()): Promise<string> =>
  outcomeOf(bundleBytes(bundleJson({ holder, ...terms })), artifact, under);

describe("evidence binding", () => {
  it("case 1: a valid log entry for another artifact, key or signature is refused", async () => {
    expect(await keyless(V2)).toBe("verified");
    const other = certificate({ key: keyOf("other") });
    for (const logged of [
      { payload: utf8Encode("another artifact") },
      { signer: { key: other.key, certificate: other.der } },
      { signature: holder.key.sign(utf8Encode("another artifact")) },
    ]) {
      for (const entries of [["hashedrekord 0.0.2"], ["hashedrekord 0.0.1"]] as const)
        expect(await keyless({ ...V2, entries, logged })).toBe("log-entry-invalid");
    }
    // A whole, true entry, taken from the bundle of another artifact by the same signer.
    const mine = bundleJson({ holder, ...V2 });
    const theirs = bundleJson({ holder, ...V2, message: utf8Encode("another artifact") });
    mine.verificationMaterial.tlogEntries = theirs.verificationMaterial.tlogEntries;
    expect(await outcomeOf(bundleBytes(mine), artifact, trusting())).toBe("log-entry-invalid");
  });

  it("case 2: a log entry with the right digest and another key is refused", async () => {
    const other = certificate({ key: keyOf("other") });
    const signed = { signature: other.key.sign(message), payload: message };
    for (const signer of [
      { key: other.key, certificate: other.der },
      { key: other.key, certificate: undefined },
      // The right key, in another person's certificate.
      { key: holder.key, certificate: certificate({ subject: "https://example.com/mallory" }).der },
    ])
      expect(await keyless({ ...V2, logged: { ...signed, signer } })).toBe("log-entry-invalid");
  });

  it("case 3: a bundle whose digest field is not the digest of what is signed is refused", async () => {
    const bundle = await messageBundle(key, message);
    const other = Buffer.from(digestHex(sha256Of("another")), "hex").toString("base64");
    const lying = changed(bundle, (json) => {
      json.messageSignature.messageDigest["digest"] = other;
    });
    expect(await outcomeOf(bundle, artifact, trust)).toBe("verified");
    expect(await outcomeOf(lying, artifact, trust)).toBe("signature-invalid");
    expect(await outcomeOf(lying, sha256Of("another"), trust)).toBe("signature-invalid");
    expect(await outcomeOf(lying, artifact, trust, { artifactBytes: message })).toBe("subject-mismatch");
    const without = changed(bundle, (json) => {
      delete json.messageSignature.messageDigest["digest"];
    });
    expect(await outcomeOf(without, artifact, trust)).toBe("malformed");
  });

  it("case 5: a signed payload that is no statement is refused, not passed over", async () => {
    const good = JSON.parse(utf8Decode(payloadAbout(artifact))) as { [member: string]: unknown };
    const payloads: unknown[] = [
      { ...good, subject: [] },
      { ...good, subject: {} },
      { ...good, predicate: "PASSED" },
      { ...good, predicate: [] },
      { ...good, predicateType: "" },
      { ...good, predicateType: 7 },
      { ...good, _type: "https://in-toto.io/Statement/v2" },
      [good],
      "statement",
      null,
    ];
    for (const payload of payloads)
      expect(await outcomeOf(bundleOfPayload(key, utf8Encode(JSON.stringify(payload))), artifact, trust)).toBe(
        "malformed",
      );
    for (const text of ["", "{", "{}", `${JSON.stringify(good)}x`, "\u0000"])
      expect(await outcomeOf(bundleOfPayload(key, utf8Encode(text)), artifact, trust)).toBe("malformed");
  });

  it("case 6: only a subject's sha256 in its one spelling names the artifact", async () => {
    const about = (subject: readonly unknown[]): Promise<string> => {
      const statement = { ...(JSON.parse(utf8Decode(payloadAbout(artifact))) as object), subject };
      return outcomeOf(bundleOfPayload(key, utf8Encode(JSON.stringify(statement))), artifact, trust);
    };
    const hex = digestHex(artifact);
    const other = digestHex(sha256Of("another"));
    expect(await about([{ name: "app", digest: { sha256: hex, sha512: "a".repeat(128) } }])).toBe("verified");
    // Further digests and further subjects do not make it about something else, nor it about them.
    expect(await about([{ digest: { sha256: other } }, { digest: { sha256: hex } }])).toBe("verified");
    expect(await about([{ name: hex, digest: { sha256: other } }])).toBe("subject-mismatch");
    expect(await about([{ name: "app", digest: { sha1: hex.slice(0, 40) } }])).toBe("subject-mismatch");
    expect(await about([{ name: "app", digest: { sha512: hex } }])).toBe("subject-mismatch");
    expect(await about([{ name: "app", digest: { SHA256: hex } }])).toBe("subject-mismatch");
    expect(await about([{ name: "app", uri: `sha256:${hex}`, digest: { gitCommit: hex } }])).toBe("subject-mismatch");
    for (const spelling of [hex.toUpperCase(), `sha256:${hex}`, ` ${hex}`, `${hex}\n`, hex.slice(0, 63), `${hex}00`])
      expect(await about([{ digest: { sha256: spelling } }])).toBe("malformed");
    expect(await about([{ digest: {} }])).toBe("malformed");
    expect(await about([{ name: hex }])).toBe("malformed");
  });

  it("case 7: the same log entry N times is not N entries", async () => {
    const json = bundleJson({ holder, ...V2 });
    const [entry] = json.verificationMaterial.tlogEntries;
    for (const times of [2, 3, 32]) {
      json.verificationMaterial.tlogEntries = Array.from({ length: times }, () => structuredClone(entry ?? {}));
      expect(await outcomeOf(bundleBytes(json), artifact, trusting())).toBe("log-entry-invalid");
    }
    json.verificationMaterial.tlogEntries = Array.from({ length: 33 }, () => structuredClone(entry ?? {}));
    expect(await outcomeOf(bundleBytes(json), artifact, trusting())).toBe("malformed");
  });

  it("case 8: N entries of one log are one log's word, and do not make up for another log's", async () => {
    const three = { ...V2, entries: ["hashedrekord 0.0.2", "hashedrekord 0.0.2", "hashedrekord 0.0.2"] } as const;
    const bundle = bundleBytes(bundleJson({ holder, ...three }));
    const verdict = await verify(nodeCrypto, { bundle, artifact, trust: trusting(), times: [] });
    expect(outcome(verdict)).toBe("verified");
    // Rekor v2 gives no time: three of its entries prove no more about when than one does.
    expect(await keyless({ ...three, stamped: null })).toBe("time-unproven");
    // And entries of a log that trust does not name are none, however many.
    const others = trusting(certificateEntry(), trustRoot({ tlogs: [rekor1.trusted] }));
    expect(await keyless(three, others)).toBe("log-entry-missing");
  });

  it("case 9: one key under two names is one signer", async () => {
    const two = trustIn(entryFor(key, { id: "1", name: "alice" }), entryFor(key, { id: "2", name: "bob" }));
    const bundle = await statementBundle(key, artifact);
    const verdict = await verify(nodeCrypto, { bundle, artifact, trust: two, times: [] });
    if (verdict.status !== "verified") throw new Error(verdict.message);
    expect(verdict.signer.principal).toBe(key.publicKey.keyId);
    expect(verdict.signer.entries.map(({ name }) => name)).toEqual(["alice", "bob"]);
  });

  it("case 10: one certificate identity under two entries is one signer, whatever key it has today", async () => {
    const pattern: SubjectMatch = { kind: "pattern", value: "https://example.com/acme/**" };
    const principals: string[] = [];
    for (const entry of [certificateEntry(), certificateEntry({ id: "wide", name: "wide", subject: pattern })]) {
      for (const renewed of [holder, certificate({ key: keyOf("renewed") })]) {
        const bundle = bundleBytes(bundleJson({ ...V2, holder: renewed }));
        const verdict = await verify(nodeCrypto, { bundle, artifact, trust: trusting(entry), times: [] });
        if (verdict.status !== "verified") throw new Error(verdict.message);
        principals.push(verdict.signer.principal);
      }
    }
    expect(new Set(principals).size).toBe(1);
  });

  it("case 11: a signature before the key's start or after its end is refused, and so is one of no proven time", async () => {
    const window: Partial<KeyEntry> = { validFrom: NOW, validUntil: NOW + DAY };
    const within = trustIn(entryFor(key, window));
    const bundle = await statementBundle(key, artifact);
    const at = (time: number): Promise<string> => outcomeOf(bundle, artifact, within, { times: [receivedAt(time)] });
    expect(await at(NOW)).toBe("verified");
    expect(await at(NOW + DAY)).toBe("verified");
    expect(await at(NOW - 1)).toBe("outside-validity");
    expect(await at(NOW + DAY + 1)).toBe("outside-validity");
    expect(await outcomeOf(bundle, artifact, within)).toBe("time-unproven");
    // What the signer writes into the statement is no time.
    const claiming = await statementBundle(key, artifact, {
      predicate: { metadata: { buildFinishedOn: new Date(NOW).toISOString() } },
    });
    expect(await outcomeOf(claiming, artifact, within)).toBe("time-unproven");
    // A timestamp that dates it back by an authority nobody named is none.
    const stamped = bundleBytes(bundleJson({ key, message }));
    expect(await outcomeOf(stamped, artifact, within)).toBe("time-unproven");
    expect(await outcomeOf(stamped, artifact, { ...within, roots: [trustRoot()] })).toBe("verified");
  });

  it("case 12: a chain with an expired intermediate is refused, though leaf and root are valid", async () => {
    for (const [notBefore, notAfter] of [
      [NOW - 1_000 * DAY, NOW - DAY],
      [NOW + DAY, NOW + 1_000 * DAY],
    ] as const) {
      const ca = codeSigningChain({ intermediate: { notBefore, notAfter } });
      const root = trustRoot({
        certificateAuthorities: [authorityOf(ca.intermediate, ca.root)],
        tlogs: [],
        ctlogs: [],
      });
      const under = trusting(certificateEntry(), root);
      expect(await keyless({ message, holder: ca.leaf }, under)).toBe("certificate-expired");
    }
    const good = codeSigningChain();
    const authorities = { certificateAuthorities: [authorityOf(good.intermediate, good.root)], tlogs: [], ctlogs: [] };
    expect(await keyless({ message, holder: good.leaf }, trusting(certificateEntry(), trustRoot(authorities)))).toBe(
      "verified",
    );
  });

  it("case 13: nothing verifies under trust that names nobody", async () => {
    const bundles = [
      await statementBundle(key, artifact),
      await messageBundle(key, message),
      bundleBytes(bundleJson({ holder, ...V2 })),
    ];
    for (const bundle of bundles) {
      expect(await outcomeOf(bundle, artifact, trustIn())).toBe("unknown-signer");
      // Roots say which authorities exist, never whom of theirs to believe.
      expect(await outcomeOf(bundle, artifact, { ...trustIn(), roots: [trustRoot()] })).toBe("unknown-signer");
      // An entry whose scope is empty is nobody either.
      const nothing = entryFor(key, { scope: { repositories: [], predicateTypes: [] } });
      expect(await outcomeOf(bundle, artifact, trustIn(nothing))).not.toBe("verified");
      for (const none of [{}, undefined, null]) {
        await expect(
          verify(nodeCrypto, { bundle, artifact, trust: none as unknown as TrustVersion, times: [] }),
        ).rejects.toThrow(TypeError);
      }
    }
  });

  it("case 14: look-alike issuers and subjects, dots, newlines and confusable letters are other people", async () => {
    const subject = (value: string): CertificateEntry => certificateEntry({ subject: { kind: "exact", value } });
    expect(await keyless(V2, trusting(subject(SUBJECT)))).toBe("verified");
    const lookAlikes = [
      `${SUBJECT}\n`,
      `${SUBJECT} `,
      SUBJECT.slice(0, -1),
      SUBJECT.toUpperCase(),
      SUBJECT.replace("example.com", "examp1e.com"),
      SUBJECT.replace("example.com", "ex\u0430mple.com"),
      SUBJECT.replaceAll(".", "x"),
      ".*",
      "",
    ].filter((one) => one !== "");
    for (const value of lookAlikes) expect(await keyless(V2, trusting(subject(value)))).toBe("unknown-signer");
    for (const value of lookAlikes.filter((one) => !one.includes("*")))
      expect(await keyless({ ...V2, holder: certificate({ subject: value }) })).not.toBe("verified");
    for (const issuer of [
      `${ISSUER}/`,
      `${ISSUER}.evil.example`,
      ISSUER.toUpperCase(),
      ISSUER.replace("https", "http"),
    ])
      expect(await keyless({ ...V2, holder: certificate({ issuer }) })).toBe("unknown-signer");
    // A pattern is of the whole subject, a dot in it is a dot, and one star does not cross a slash.
    const pattern = (value: string): Promise<string> =>
      keyless(V2, trusting(certificateEntry({ subject: { kind: "pattern", value } })));
    expect(await pattern("https://example.com/acme/app/**")).toBe("verified");
    for (const value of [
      "https://example.com/acme/app",
      "example.com/**",
      "https://example.com/*",
      "https://example.com/acme/ap./**",
      "https://example.com/acme/app/.+",
      "^https://example.com/.*$",
    ])
      expect(await pattern(value), value).toBe("unknown-signer");
    const evil = certificate({ subject: "https://example.com.evil.example/acme/app/x" });
    expect(
      await keyless(
        { ...V2, holder: evil },
        trusting(certificateEntry({ subject: { kind: "pattern", value: "https://example.com/**" } })),
      ),
    ).toBe("unknown-signer");
  });

  it("case 14: an alternative name that reads as a distinguished name is not the subject of a certificate without one", async () => {
    const { root, intermediate } = codeSigningChain();
    const corp = x509Root("corp", [pemOf(intermediate.der) + pemOf(root.der)]);
    const entry = certificateEntry({
      root: "corp",
      issuer: null,
      subject: { kind: "exact", value: "CN=build,O=Acme" },
    });
    const judged = (name: string[], ...names: Uint8Array[]): Promise<string> => {
      const extensions = [SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING])];
      if (names.length > 0) extensions.push(alternativeNames(...names));
      const signer = issue({ name, key: keyOf("corp leaf"), issuer: intermediate, extensions });
      const bundle = bundleBytes(bundleJson({ message, holder: signer, stamped: null }));
      return outcomeOf(bundle, artifact, { ...trustIn(entry), roots: [corp] }, { times: [receivedAt(NOW)] });
    };
    expect(await judged(["O=Acme", "CN=build"])).toBe("verified");
    expect(await judged(["O=Evil", "CN=build,O=Acme"])).toBe("unknown-signer");
    for (const kind of [general.uri, general.dns, general.email])
      expect(await judged(["O=Evil", "CN=evil"], kind("CN=build,O=Acme"))).toBe("certificate-invalid");
  });

  it("case 20: evidence about an older artifact does not speak of the new one", async () => {
    const older = artifactOf("the artifact, version 1").digest;
    for (const bundle of [
      await statementBundle(key, older),
      await messageBundle(key, utf8Encode("the artifact, version 1")),
    ]) {
      expect(await outcomeOf(bundle, older, trust)).toBe("verified");
      expect(await outcomeOf(bundle, artifact, trust)).toBe("subject-mismatch");
    }
  });

  it("case 22: of a file of many lines each stands for itself, and the file for nothing", async () => {
    const line = utf8Decode(await statementBundle(key, artifact));
    expect(line).not.toContain("\n");
    const other = utf8Decode(await statementBundle(key, sha256Of("another")));
    const of = (text: string, about: Digest = artifact): Promise<string> => outcomeOf(utf8Encode(text), about, trust);
    expect(await of(line)).toBe("verified");
    for (const file of [`${line}\n${other}`, `${other}\n${line}`, `${line}\n{}`, `${line}\ngarbage`])
      expect(await of(file)).toBe("malformed");
    expect(await of(`\ufeff${line}`)).toBe("malformed");
    expect(await of(line.replace("{", '{"mediaType":"x",'))).toBe("malformed");
    expect(await of(`{"x":"${"a".repeat(17 * 1024 * 1024)}"}`)).toBe("malformed");
    for (const garbage of ["", "null", "[]", "{}", "7", '"', "\u0000", line.slice(0, -1), `x${line}`])
      expect(await of(garbage)).toBe("malformed");
  });

  it("case 23: a member written twice is refused wherever it stands and however it is spelled", async () => {
    const bundle = utf8Decode(await statementBundle(key, artifact));
    const first = (text: string, from: string, to: string): string => text.replace(from, () => to);
    for (const twice of [
      first(bundle, '"dsseEnvelope":', '"dsseEnvelope":null,"dsseEnvelope":'),
      first(bundle, '"dsseEnvelope":', '"dsse\\u0045nvelope":null,"dsseEnvelope":'),
      first(bundle, '"payload":', '"payload":"","payload":'),
      first(bundle, '"sig":', '"sig":"","sig":'),
      first(bundle, '"hint":', '"hint":"","hint":'),
      first(bundle, '"mediaType":', '"__proto__":{},"mediaType":'),
    ]) {
      expect(twice).not.toBe(bundle);
      expect(await outcomeOf(utf8Encode(twice), artifact, trust)).toBe("malformed");
    }
    // Signed all the same: whoever signs may be the one who confuses.
    const statement = utf8Decode(payloadAbout(artifact));
    const hex = digestHex(artifact);
    const other = digestHex(sha256Of("another"));
    for (const twice of [
      first(statement, '"subject":', `"subject":[{"digest":{"sha256":"${other}"}}],"subject":`),
      first(statement, '"sha256":', `"sha256":"${other}","sha256":`),
      first(statement, '"sha256":', `"sha25\\u0036":"${other}","sha256":`),
      first(statement, '"predicateType":', '"predicateType":"https://example.com/other","predicateType":'),
      first(statement, '"result":', '"result":"FAILED","result":'),
      first(statement, `"sha256":"${hex}"`, `"sha256":"${hex}","__proto__":"${other}"`),
    ]) {
      expect(twice).not.toBe(statement);
      expect(await outcomeOf(bundleOfPayload(key, utf8Encode(twice)), artifact, trust)).toBe("malformed");
    }
  });

  it("case 24: a payload is read as what its signed type says, and as nothing else", async () => {
    const payload = payloadAbout(artifact);
    const types = [
      "application/json",
      "application/vnd.in-toto+json ",
      "Application/vnd.in-toto+json",
      "application/vnd.in-toto+json; charset=utf-8",
      "application/vnd.dev.cosign.simplesigning.v1+json",
      "application/vnd.cncf.notary.payload.v1+json",
      "text/plain",
      "",
    ];
    for (const type of types) {
      // Truly signed under the other type: refused for what it is.
      expect(["malformed", "unsupported"], type).toContain(
        await outcomeOf(bundleOfPayload(key, payload, type), artifact, trust),
      );
      // Signed as a statement, relabelled; and signed as something else, relabelled as a statement.
      const relabelled = changed(bundleOfPayload(key, payload), (json) => {
        json.dsseEnvelope.payloadType = type;
      });
      expect(["signature-invalid", "malformed", "unsupported"], type).toContain(
        await outcomeOf(relabelled, artifact, trust),
      );
      const disguised = changed(bundleOfPayload(key, payload, type === "" ? "x" : type), (json) => {
        json.dsseEnvelope.payloadType = "application/vnd.in-toto+json";
      });
      expect(await outcomeOf(disguised, artifact, trust), type).toBe("signature-invalid");
    }
    // A signature over the bare payload is not one over the envelope's encoding of it, and the reverse.
    const bare = changed(bundleOfPayload(key, payload), (json) => {
      const [signature] = json.dsseEnvelope.signatures;
      if (signature !== undefined) signature.sig = toBase64(key.sign(payload));
    });
    expect(await outcomeOf(bare, artifact, trust)).toBe("signature-invalid");
    const file = artifactOf(utf8Decode(payload));
    const asFile = changed(await messageBundle(key, file.bytes), (json) => {
      json.messageSignature.signature =
        (
          JSON.parse(utf8Decode(bundleOfPayload(key, payload))) as {
            dsseEnvelope: { signatures: { sig: string }[] };
          }
        ).dsseEnvelope.signatures[0]?.sig ?? "";
    });
    expect(await outcomeOf(asFile, file.digest, trust)).toBe("signature-invalid");
  });

  it("case 24: a statement cannot claim to be a signature of another form", async () => {
    for (const predicateType of [
      "https://assay.dev/message-signature/v1",
      "https://assay.dev/cosign/simple-signing/v1",
      "application/vnd.cncf.notary.payload.v1+json",
    ]) {
      const statement = { ...(JSON.parse(utf8Decode(payloadAbout(artifact))) as object), predicateType };
      expect(
        await outcomeOf(bundleOfPayload(key, utf8Encode(JSON.stringify(statement))), artifact, trust),
        predicateType,
      ).toBe("malformed");
    }
  });
});
