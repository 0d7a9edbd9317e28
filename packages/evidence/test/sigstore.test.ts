/** Certificates, timestamps and log entries of a bundle, good and false in one named way each, by the verdict they come to. */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import { type ProvenTime, parseBundle, type TrustRoot, type TrustVersion, utf8Encode } from "../src/index.ts";
import { provenTimesOf } from "../src/sigstore.ts";
import { artifactOf, entryFor, keyOf, outcomeOf, payloadAbout, receivedAt, sha256Of } from "./virtual.ts";
import { DAY, NOW } from "./virtual-ca.ts";
import {
  type BodyName,
  type BundleTerms,
  bodies,
  bundleBytes,
  bundleJson,
  certificate,
  ISSUER,
  rekor1,
  rekor2,
  SUBJECT,
  stamp,
  trustRoot,
  VirtualLog,
} from "./virtual-sigstore.ts";
import { trustInCertified } from "./virtual-trust.ts";
import { toBase64 } from "../src/encoding.ts";

const { bytes: message, digest: artifact } = artifactOf();
const statement = payloadAbout(artifact);
const holder = certificate();

function verdict(terms: BundleTerms, root?: TrustRoot, times: ProvenTime[] = []): Promise<string> {
  return outcomeOf(bundleBytes(bundleJson({ holder, ...terms })), artifact, trustInCertified(root), { times });
}

describe("a certificate's signature is believed", () => {
  const good: [string, BundleTerms][] = [
    ["v0.3, an envelope, Rekor v2, a timestamp", { statement, entries: ["hashedrekord 0.0.2"] }],
    ["v0.3, an envelope in Rekor v2's first way", { statement, entries: ["dsse 0.0.2"] }],
    ["v0.3, a message, Rekor v2, a timestamp", { message, entries: ["hashedrekord 0.0.2"] }],
    ["v0.3, Rekor v1 and its time", { message, entries: ["hashedrekord 0.0.1"], stamped: null }],
    [
      "v0.3, Rekor v1 without a promise, dated by a timestamp",
      { message, entries: ["hashedrekord 0.0.1"], entry: { promise: false } },
    ],
    ["v0.2, an envelope, Rekor v1", { version: "0.2", statement, entries: ["dsse 0.0.1"], stamped: null }],
    [
      "v0.2, an envelope as old cosign logged it",
      { version: "0.2", statement, entries: ["intoto 0.0.2"], stamped: null },
    ],
    [
      "v0.1, a message, Rekor v1's promise alone",
      { version: "0.1", message, entries: ["hashedrekord 0.0.1"], stamped: null, entry: { proof: false } },
    ],
    ["in both logs", { message, entries: ["hashedrekord 0.0.1", "hashedrekord 0.0.2"] }],
  ];
  test.each(good)("%s", async (_, terms) => {
    expect(await verdict(terms)).toBe("verified");
  });

  test("in the other spelling of each version's media type", async () => {
    for (const version of ["0.1", "0.2", "0.3"] as const) {
      const json = bundleJson({ version, holder, message, entries: ["hashedrekord 0.0.1"], stamped: null });
      const [a, b] = [`bundle.v${version}+json`, `bundle+json;version=${version}`];
      json.mediaType = json.mediaType.includes(a) ? json.mediaType.replace(a, b) : json.mediaType.replace(b, a);
      expect(await outcomeOf(bundleBytes(json), artifact, trustInCertified())).toBe("verified");
    }
  });

  test("as entry 0 of a log, which protobuf's JSON leaves unsaid", async () => {
    const key = keyOf("fresh", "ed25519");
    const log = new VirtualLog(2, "fresh.example.com", key, []);
    const json = bundleJson({ holder, message });
    const signature = new Uint8Array(Buffer.from(json.messageSignature?.signature ?? "", "base64"));
    const entry = log.add(
      bodies["hashedrekord 0.0.2"]({
        signer: { key: holder.key, certificate: holder.der },
        signature,
        payload: message,
      }),
    );
    const { logIndex: _, ...proof } = entry["inclusionProof"] as { logIndex: string };
    const { logIndex: __, ...rest } = entry;
    json.verificationMaterial.tlogEntries = [{ ...rest, inclusionProof: proof }];
    expect(await outcomeOf(bundleBytes(json), artifact, trustInCertified(trustRoot({ tlogs: [log.trusted] })))).toBe(
      "verified",
    );
  });
});

describe("a log entry counts only for its own content, signature and signer:", () => {
  const kinds: [BodyName, BundleTerms][] = [
    ["hashedrekord 0.0.1", { message, stamped: null }],
    ["dsse 0.0.1", { statement, stamped: null }],
    ["intoto 0.0.2", { statement, stamped: null }],
    ["hashedrekord 0.0.2", { message }],
    ["hashedrekord 0.0.2", { statement }],
    ["dsse 0.0.2", { statement }],
  ];
  test.each(kinds)("%s about another is no entry", async (kind, terms) => {
    const other = certificate({ key: keyOf("other") });
    const logged = [
      { payload: utf8Encode("something else") },
      { signature: holder.key.sign(utf8Encode("something else")) },
      { signer: { key: other.key, certificate: other.der } },
      // The same key in another certificate, or bare.
      { signer: { key: holder.key, certificate: certificate({ subject: "https://example.com/other" }).der } },
      { signer: { key: holder.key, certificate: undefined } },
    ];
    for (const what of logged) {
      expect(await verdict({ ...terms, entries: [kind], logged: what })).toBe("log-entry-invalid");
    }
    expect(await verdict({ ...terms, entries: [kind] })).toBe("verified");
  });

  test("an envelope in the kind for messages is refused, as Sigstore's clients refuse it", async () => {
    expect(await verdict({ statement, entries: ["hashedrekord 0.0.1"] })).toBe("log-entry-invalid");
  });

  test("a message in a kind for envelopes is refused", async () => {
    expect(await verdict({ message, entries: ["dsse 0.0.1"] })).toBe("log-entry-invalid");
  });
});

describe("what a root's logs demand", () => {
  test("an entry is demanded as soon as a log is named, and not before", async () => {
    expect(await verdict({ message })).toBe("log-entry-missing");
    expect(await verdict({ message }, trustRoot({ tlogs: [] }))).toBe("verified");
  });

  test("an entry of a log that is not trusted is as good as none", async () => {
    expect(await verdict({ message, entries: ["hashedrekord 0.0.2"] }, trustRoot({ tlogs: [rekor1.trusted] }))).toBe(
      "log-entry-missing",
    );
  });

  test("a false entry of a trusted log is refused also beside a true one", async () => {
    const json = bundleJson({ holder, message, entries: ["hashedrekord 0.0.2"] });
    const other = bundleJson({ holder, message: utf8Encode("other"), entries: ["hashedrekord 0.0.2"] });
    json.verificationMaterial.tlogEntries.push(...other.verificationMaterial.tlogEntries);
    expect(await outcomeOf(bundleBytes(json), artifact, trustInCertified())).toBe("log-entry-invalid");
  });

  test("the same entry twice is refused, and two entries of one log are one log", async () => {
    const json = bundleJson({ holder, message, entries: ["hashedrekord 0.0.2"] });
    const repeated = structuredClone(json);
    repeated.verificationMaterial.tlogEntries.push(...json.verificationMaterial.tlogEntries);
    expect(await outcomeOf(bundleBytes(repeated), artifact, trustInCertified())).toBe("log-entry-invalid");

    const key = keyOf("build");
    const count = async (entries: BodyName[]): Promise<number> => {
      const bundle = parseBundle(bundleBytes(bundleJson({ key, message, entries })));
      return (await provenTimesOf(nodeCrypto, bundle, [trustRoot()], key.publicKey)).logs.length;
    };
    expect(await count(["hashedrekord 0.0.2", "hashedrekord 0.0.2", "hashedrekord 0.0.2"])).toBe(1);
    expect(await count(["hashedrekord 0.0.2", "hashedrekord 0.0.1"])).toBe(2);
  });

  test("version 0.1 demands the promise, later ones the proof", async () => {
    const v1 = { message, entries: ["hashedrekord 0.0.1"] } as const;
    expect(await verdict({ ...v1, version: "0.1", entry: { promise: false } })).toBe("log-entry-invalid");
    for (const version of ["0.2", "0.3"] as const)
      expect(await verdict({ ...v1, version, entry: { proof: false } })).toBe("log-entry-invalid");
    expect(await verdict({ message, entries: ["hashedrekord 0.0.2"], entry: { proof: false } })).toBe(
      "log-entry-invalid",
    );
    // Rekor v2 signs no times: a promise under its name is somebody's invention.
    expect(await verdict({ message, entries: ["hashedrekord 0.0.2"], entry: { promise: true } })).toBe(
      "log-entry-invalid",
    );
  });

  test("a checkpoint counts by its log's key and, in Rekor v2, under its log's name", async () => {
    const v2 = { message, entries: ["hashedrekord 0.0.2"] } as const;
    expect(await verdict({ ...v2, entry: { by: keyOf("thief", "ed25519") } })).toBe("log-entry-invalid");
    expect(await verdict({ ...v2, entry: { origin: "other.example.com" } })).toBe("log-entry-invalid");
    expect(await verdict({ ...v2, entry: { signedAs: "other.example.com" } })).toBe("log-entry-invalid");
    const v1 = { message, entries: ["hashedrekord 0.0.1"] } as const;
    expect(await verdict({ ...v1, entry: { by: keyOf("thief") } })).toBe("log-entry-invalid");
    // Private instances of Rekor v1 sign under names that are not their URL's.
    expect(await verdict({ ...v1, entry: { origin: "private.example.com" } })).toBe("verified");
  });

  test("a log's key counts while it was in use, both ends included", async () => {
    const within = (validFrom: number, validUntil: number): TrustRoot =>
      trustRoot({ tlogs: [rekor1, rekor2].map(({ trusted }) => ({ ...trusted, validFrom, validUntil })) });
    for (const terms of [
      { message, entries: ["hashedrekord 0.0.1"], stamped: null },
      { message, entries: ["hashedrekord 0.0.2"] },
    ] as const) {
      expect(await verdict(terms, within(NOW, NOW))).toBe("verified");
      expect(await verdict(terms, within(NOW - DAY, NOW - 1))).toBe("log-entry-invalid");
      expect(await verdict(terms, within(NOW + 1, NOW + DAY))).toBe("log-entry-invalid");
    }
  });
});

describe("when a certificate's signature was made", () => {
  test("must be proven by the root's own: a log's time, or a timestamp", async () => {
    const v2 = { message, entries: ["hashedrekord 0.0.2"], stamped: null } as const;
    expect(await verdict(v2)).toBe("time-unproven");
    // What we received and when says nothing of a certificate that lives ten minutes.
    expect(await verdict(v2, undefined, [receivedAt(NOW)])).toBe("time-unproven");
    expect(await verdict({ message, entries: ["hashedrekord 0.0.1"], stamped: null, entry: { promise: false } })).toBe(
      "time-unproven",
    );
  });

  test("must lie within the certificate's validity at every proven time", async () => {
    const v2 = { message, entries: ["hashedrekord 0.0.2"] } as const;
    expect(await verdict({ ...v2, stamped: NOW + 3_600_000 })).toBe("certificate-expired");
    expect(await verdict({ ...v2, stamped: NOW - 3_600_000 })).toBe("certificate-expired");
    const v1 = { message, entries: ["hashedrekord 0.0.1"] } as const;
    expect(await verdict({ ...v1, entry: { integratedTime: NOW / 1000 + 3_600 } })).toBe("certificate-expired");
    expect(await verdict({ ...v1, stamped: NOW + 3_600_000 })).toBe("certificate-expired");
  });

  test("is not proven by a timestamp over something else", async () => {
    const json = bundleJson({ holder, message, entries: ["hashedrekord 0.0.2"] });
    const signedTimestamp = toBase64(stamp(utf8Encode("something else")));
    json.verificationMaterial["timestampVerificationData"] = { rfc3161Timestamps: [{ signedTimestamp }] };
    expect(await outcomeOf(bundleBytes(json), artifact, trustInCertified())).toBe("timestamp-invalid");
  });

  test("may stand beside a timestamp of an authority that is not trusted, but beside no false one", async () => {
    const v1 = { message, entries: ["hashedrekord 0.0.1"] } as const;
    const others = trustRoot({ timestampAuthorities: trustRoot().certificateAuthorities });
    expect(await verdict(v1, others)).toBe("verified");
    for (const signedTimestamp of [toBase64(stamp(utf8Encode("something else"))), "AAAA"]) {
      const json = bundleJson({ holder, ...v1 });
      json.verificationMaterial["timestampVerificationData"] = { rfc3161Timestamps: [{ signedTimestamp }] };
      expect(await outcomeOf(bundleBytes(json), artifact, trustInCertified())).toBe("timestamp-invalid");
    }
  });

  test("under a root of an organisation's own authorities, is the timestamp, else when we received it", async () => {
    const own = trustRoot({ profile: "x509", tlogs: [], ctlogs: [] });
    const without = { ...own, timestampAuthorities: [] };
    expect(await verdict({ message }, own)).toBe("verified");
    expect(await verdict({ message }, without)).toBe("time-unproven");
    expect(await verdict({ message }, without, [receivedAt(NOW)])).toBe("verified");
    expect(await verdict({ message }, without, [receivedAt(NOW + DAY)])).toBe("certificate-expired");
    expect(await verdict({ message, stamped: NOW + DAY }, own, [receivedAt(NOW)])).toBe("certificate-expired");
  });
});

describe("who a certificate is for", () => {
  const v2 = { message, entries: ["hashedrekord 0.0.2"] } as const;

  test("must be whom trust means, by issuer and subject", async () => {
    for (const terms of [
      { issuer: "https://issuer.example.com.evil" },
      { subject: `${SUBJECT}x` },
      { issuer: `${ISSUER}/` },
    ]) {
      expect(await verdict({ ...v2, holder: certificate(terms) })).toBe("unknown-signer");
    }
  });

  test("must have been seen by a certificate log, if the root names one", async () => {
    for (const terms of [{ ct: null }, { ct: keyOf("other ct log") }, { sctTime: NOW + 10 * DAY }]) {
      expect(await verdict({ ...v2, holder: certificate(terms) })).toBe("sct-invalid");
      expect(await verdict({ ...v2, holder: certificate(terms) }, trustRoot({ ctlogs: [] }))).toBe("verified");
    }
  });

  test("must come from the root's authorities", async () => {
    expect(await verdict(v2, trustRoot({ certificateAuthorities: [] }))).toBe("chain-untrusted");
  });
});

describe("a key's signature with timestamps and log entries", () => {
  const key = keyOf("build");
  const window = entryFor(key, { validFrom: NOW - 60_000, validUntil: NOW + 60_000 });
  const trusting = (roots: TrustRoot[]): TrustVersion => ({
    org: "acme",
    version: 1,
    entries: [window],
    logs: [],
    roots,
  });
  const outcome = (terms: BundleTerms, roots: TrustRoot[]): Promise<string> =>
    outcomeOf(bundleBytes(bundleJson({ key, message, ...terms })), artifact, trusting(roots));

  test("is dated by them, under a trusted root", async () => {
    expect(await outcome({}, [trustRoot()])).toBe("verified");
    expect(await outcome({ stamped: null, entries: ["hashedrekord 0.0.1"] }, [trustRoot()])).toBe("verified");
    expect(await outcome({}, [])).toBe("time-unproven");
    expect(await outcome({ stamped: NOW + DAY }, [trustRoot()])).toBe("outside-validity");
  });

  test("is dated by none that is false", async () => {
    const wrong = { stamped: null, entries: ["hashedrekord 0.0.1"] } as const;
    expect(await outcome({ ...wrong, logged: { payload: utf8Encode("x") } }, [trustRoot()])).toBe("time-unproven");
    expect(
      await outcome({ ...wrong, logged: { signer: { key: keyOf("other"), certificate: undefined } } }, [trustRoot()]),
    ).toBe("time-unproven");
    // Rekor v2 says that, never when.
    expect(await outcome({ stamped: null, entries: ["hashedrekord 0.0.2"] }, [trustRoot()])).toBe("time-unproven");
  });

  test("shows what failed, and what nobody could evaluate, as such", async () => {
    const bundle = parseBundle(bundleBytes(bundleJson({ key, message, entries: ["hashedrekord 0.0.2"] })));
    const unknown = await provenTimesOf(nodeCrypto, bundle, [], key.publicKey);
    expect(unknown.notEvaluated).toEqual(["timestamps", "tlogEntries"]);
    expect(unknown.steps.map(({ outcome: one }) => one)).toEqual(["not-evaluated", "not-evaluated"]);
    const others = trustRoot({ timestampAuthorities: trustRoot().certificateAuthorities, tlogs: [rekor1.trusted] });
    const failed = await provenTimesOf(nodeCrypto, bundle, [others], key.publicKey);
    expect(failed.times).toEqual([]);
    expect(failed.steps.map(({ check, outcome: one }) => `${check} ${one}`)).toEqual([
      "timestamp failed",
      "log-entry not-evaluated",
    ]);
  });

  test("is dated once by each authority and log, at the earliest", async () => {
    const json = bundleJson({ key, message, entries: ["hashedrekord 0.0.1", "hashedrekord 0.0.1"] });
    const signature = new Uint8Array(Buffer.from(json.messageSignature?.signature ?? "", "base64"));
    const stamps = [NOW + 2_000, NOW, NOW + 1_000].map((time) => ({
      signedTimestamp: toBase64(stamp(signature, time)),
    }));
    json.verificationMaterial["timestampVerificationData"] = { rfc3161Timestamps: stamps };
    const { times } = await provenTimesOf(nodeCrypto, parseBundle(bundleBytes(json)), [trustRoot()], key.publicKey);
    expect(times.map(({ source, time }) => [source, time])).toEqual([
      ["rfc3161", NOW],
      ["log", NOW],
    ]);
  });
});

test("the digest a message bundle states is held against the artifact before any log entry is", async () => {
  const json = bundleJson({ holder, message, entries: ["hashedrekord 0.0.2"] });
  expect(await outcomeOf(bundleBytes(json), sha256Of("another"), trustInCertified())).toBe("subject-mismatch");
});
