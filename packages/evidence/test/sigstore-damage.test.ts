/**
 * Issue acceptance: every field of a bundle with a certificate, log entries and a timestamp altered, dropped, duplicated or swapped with another
 * artifact's is refused, or stands on the reviewed list below with its reason.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { utf8Encode } from "../src/index.ts";
import { alterations } from "./alter.ts";
import { artifactOf, outcomeOf, payloadAbout } from "./virtual.ts";
import { bundleBytes, bundleJson, type BundleTerms, certificate, type VirtualBundle } from "./virtual-sigstore.ts";
import { trustInCertified } from "./virtual-trust.ts";

/** Fields on which no verdict depends, by path and by how the walk names what it did to them. */
const reviewed: readonly { path: RegExp; change: RegExp; reason: string }[] = [
  {
    path: /^mediaType$/,
    change: /^altered/,
    reason: "Only into another version that is read too; then that version's demands hold, and this bundle meets them.",
  },
  {
    path: /^verificationMaterial\.tlogEntries\[0\]\.inclusionProof$/,
    change: /^(dropped|nulled)$/,
    reason: "Version 0.1 rests on the promise alone, as cosign 2 does, and the promise covers all of the entry.",
  },
  {
    path: /^verificationMaterial\.x509CertificateChain\.certificates\[0\]$/,
    change: /^duplicated$/,
    reason: "Certificates after the first are candidates for a path, and under Sigstore's roots not even that.",
  },
  {
    path: /^verificationMaterial\.timestampVerificationData\.rfc3161Timestamps\[0\]$/,
    change: /^duplicated$/,
    reason: "The same time by the same authority counts once: nothing grows with how often it is said.",
  },
];

const { bytes: message, digest: artifact } = artifactOf();
const other = artifactOf("another artifact");
const holder = certificate();
const trust = trustInCertified();

const forms: [string, BundleTerms][] = [
  ["v0.3, an envelope, Rekor v2, a timestamp", { statement: payloadAbout(artifact), entries: ["hashedrekord 0.0.2"] }],
  ["v0.3, a message, Rekor v1 with promise and proof", { message, entries: ["hashedrekord 0.0.1"], stamped: null }],
  [
    "v0.2, an envelope, Rekor v1",
    { version: "0.2", statement: payloadAbout(artifact), entries: ["dsse 0.0.1"], stamped: null },
  ],
  ["v0.1, a message, Rekor v1", { version: "0.1", message, entries: ["hashedrekord 0.0.1"], stamped: null }],
];

/** The rows of the list that were needed. */
const needed = new Set<RegExp>();

async function survivors(terms: BundleTerms): Promise<{ count: number; unlisted: string[] }> {
  const bundle = bundleBytes(bundleJson({ holder, ...terms }));
  // With the bytes, so that a message's digest is hashed anew each time: the other way is slower and tested in alterations.test.ts.
  const more = { artifactBytes: message };
  expect(await outcomeOf(bundle, artifact, trust, more)).toBe("verified");
  const unlisted: string[] = [];
  let count = 0;
  for (const { path, change, bundle: altered } of alterations(bundle)) {
    count++;
    if ((await outcomeOf(altered, artifact, trust, more)) !== "verified") continue;
    const row = reviewed.find((field) => field.path.test(path) && field.change.test(change));
    if (row === undefined) unlisted.push(`${path} ${change}`);
    else needed.add(row.path);
  }
  return { count, unlisted };
}

describe("no alteration verifies, but those on the list:", () => {
  test.each(forms)("%s", async (_, terms) => {
    const { count, unlisted } = await survivors(terms);
    expect(unlisted).toEqual([]);
    expect(count).toBeGreaterThan(800);
  });

  test("every row of the list is needed, and says why", () => {
    expect(reviewed.filter(({ path }) => !needed.has(path)).map(({ path }) => path.source)).toEqual([]);
    for (const { reason } of reviewed) expect(reason.length).toBeGreaterThan(40);
  });
});

describe("swapped with another artifact's, by the same signer:", () => {
  test.each(forms)("%s", async (_, terms) => {
    const mine = bundleJson({ holder, ...terms });
    const theirs = bundleJson({
      holder,
      ...terms,
      ...(terms.message === undefined ? { statement: payloadAbout(other.digest) } : { message: other.bytes }),
    });
    const parts = (json: VirtualBundle): string[] => Object.keys(json).filter((name) => name !== "mediaType");
    for (const part of parts(mine)) {
      const swapped = { ...mine, [part]: theirs[part as keyof VirtualBundle] };
      expect(await outcomeOf(bundleBytes(swapped), artifact, trust), part).not.toBe("verified");
    }
    for (const part of ["tlogEntries", "timestampVerificationData"]) {
      if (!Object.hasOwn(mine.verificationMaterial, part)) continue;
      const material = { ...mine.verificationMaterial, [part]: theirs.verificationMaterial[part] };
      const swapped = bundleBytes({ ...mine, verificationMaterial: material });
      expect(await outcomeOf(swapped, artifact, trust), part).toMatch(/^(log-entry|timestamp)-invalid$/);
    }
  });
});

describe("property:", () => {
  /** Every base64 value of a bundle, by the path to its holder and its name. */
  function encoded(value: unknown, found: { holder: Record<string, unknown>; name: string }[] = []): typeof found {
    if (typeof value !== "object" || value === null) return found;
    for (const [name, member] of Object.entries(value)) {
      if (typeof member === "string" && /^[A-Za-z0-9+/]{16,}={0,2}$/.test(member))
        found.push({ holder: value as Record<string, unknown>, name });
      else encoded(member, found);
    }
    return found;
  }

  test("any bit flipped in anything encoded is refused", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...forms),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        async ([, terms], which, where, bit) => {
          const json = bundleJson({ holder, ...terms });
          const values = encoded(json);
          const place = values[which % values.length];
          if (place === undefined) return;
          const bytes = Buffer.from(String(place.holder[place.name]), "base64");
          // The status of a timestamp's response, which nobody signs: 0 and 1 both mean granted (RFC 3161 §2.4.2).
          fc.pre(!(place.name === "signedTimestamp" && where % bytes.length === 8 && bit === 0));
          bytes[where % bytes.length] = (bytes[where % bytes.length] ?? 0) ^ (1 << bit);
          place.holder[place.name] = bytes.toString("base64");
          expect(await outcomeOf(bundleBytes(json), artifact, trust)).not.toBe("verified");
        },
      ),
      { numRuns: 300 },
    );
  });

  test("any statement of a log about itself that is not the one it signed is refused", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...forms),
        fc.constantFrom("logIndex", "integratedTime", "proof.logIndex", "proof.treeSize"),
        fc.nat({ max: 2 ** 31 }),
        async ([, terms], field, value) => {
          const json = bundleJson({ holder, ...terms });
          const [entry] = json.verificationMaterial.tlogEntries;
          if (entry === undefined) return;
          const [outer, inner] = field.split(".");
          const target = (inner === undefined ? entry : entry["inclusionProof"]) as Record<string, unknown>;
          const name = inner ?? outer ?? "";
          fc.pre(
            target[name] !== String(value) && !(name === "integratedTime" && target[name] === undefined && value === 0),
          );
          target[name] = String(value);
          expect(await outcomeOf(bundleBytes(json), artifact, trust)).not.toBe("verified");
        },
      ),
      { numRuns: 200 },
    );
  });

  test("whatever stands in an entry's place, the answer is a verdict", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(
          fc.constantFrom("logIndex", "logId", "kindVersion", "inclusionProof", "canonicalizedBody"),
          fc.jsonValue(),
        ),
        async (entry) => {
          const json = bundleJson({ holder, message, entries: [] });
          json.verificationMaterial.tlogEntries = [entry];
          expect(await outcomeOf(utf8Encode(JSON.stringify(json)), artifact, trust)).toMatch(
            /^(log-entry-invalid|malformed)$/,
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});
