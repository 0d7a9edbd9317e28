/** gpgv and Assay about the same signatures: they agree, or docs/evidence-forms.md says why not. */
import { readFileSync } from "node:fs";
import { openPgp } from "@assay/evidence/openpgp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  plainCertificate,
  RSA,
  type SignatureSpec,
  signature,
  TestKey,
} from "../../packages/evidence/test/openpgp-builder.ts";
import { type Case, DOCUMENT, madeByGpg, madeByHand } from "./corpus.ts";
import { Gpg, provenAt } from "./gpg.ts";

const gpg = new Gpg();
let cases: Case[] = [];

beforeAll(() => {
  cases = [...madeByHand(), ...madeByGpg(gpg)];
});
afterAll(() => gpg.close());

const now = (): number => Date.now() / 1000;

/** Names in the first column of the table under "Where Assay and gpgv differ". */
function documentedReasons(): string[] {
  const text = readFileSync(new URL("../../docs/evidence-forms.md", import.meta.url), "utf8");
  const section = text.split("### Where Assay and gpgv differ")[1]?.split("\n#")[0] ?? "";
  return [...section.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map((match) => match[1] ?? "");
}

describe("one verdict", () => {
  test("on every case of the corpus, or a documented reason", async () => {
    const found: string[] = [];
    let good = 0;
    for (const { name, certificates, signature: bytes, document, proven, differs } of cases) {
      const times = proven === null ? [] : provenAt(proven ?? now());
      const ours = await openPgp.verify({
        signature: bytes,
        document: document ?? new Uint8Array(0),
        certificates,
        times,
      });
      const theirs = gpg.gpgv(certificates, bytes, document);
      if (ours.outcome === "good") good++;
      const agree = (ours.outcome === "good") === theirs.good;
      if (agree !== (differs === undefined)) {
        const said = ours.outcome === "good" ? "good" : `${ours.code}: ${ours.message}`;
        found.push(`${name}: Assay says ${said}, gpgv ${theirs.status.join(" ")}; reason given: ${differs ?? "none"}`);
      }
    }
    expect(found).toEqual([]);
    expect(cases.length).toBeGreaterThan(150);
    expect(good).toBeGreaterThan(60);
  });

  test("the documented reasons are those that the corpus shows", () => {
    const used = new Set([...cases.flatMap(({ differs }) => differs ?? []), ...new Set(BYTE_REASONS)]);
    expect(documentedReasons().toSorted()).toEqual([...used].toSorted());
  });
});

const BYTE_REASONS = ["contradiction", "digest-start", "number-spelling", "packet-length", "version"] as const;

/** Which reason explains that gpgv accepts an alteration of this byte of a signature packet and Assay does not. */
function byteReason(bytes: Uint8Array, at: number): (typeof BYTE_REASONS)[number] | undefined {
  const head = (bytes[1] ?? 0) < 192 ? 2 : 3;
  const version = bytes[head];
  if (at < head) return "packet-length";
  if (at <= head + 1) return "version";
  // Where the parts that no signature covers begin: RFC 9580 §5.2.3, RFC 4880 §5.2.2.
  const hashedEnd = head + 6 + (((bytes[head + 4] ?? 0) << 8) | (bytes[head + 5] ?? 0));
  const unhashedEnd = hashedEnd + 2 + (((bytes[hashedEnd] ?? 0) << 8) | (bytes[hashedEnd + 1] ?? 0));
  const start = version === 3 ? head + 17 : unhashedEnd;
  if (version === 4 && at >= hashedEnd && at < unhashedEnd) return "contradiction";
  if (at === start || at === start + 1) return "digest-start";
  return at > start + 1 ? "number-spelling" : undefined;
}

describe("every byte of a signature altered", () => {
  test.each([
    ["Ed25519", new TestKey(), {}],
    ["RSA", new TestKey({ algorithm: RSA }), {}],
    ["RSA, version 3", new TestKey({ algorithm: RSA }), { version: 3 }],
  ] as [string, TestKey, SignatureSpec][])("%s: what Assay accepts, gpgv accepts", async (_name, key, spec) => {
    const certificates = [plainCertificate(key)];
    const original = signature(key, DOCUMENT, spec);
    const unexplained: string[] = [];
    const accepted = new Set<number>();
    for (let at = 0; at < original.length; at++) {
      const altered = original.slice();
      altered[at] = (altered[at] ?? 0) ^ (at % 2 === 0 ? 0x01 : 0x80);
      const ours = await openPgp.verify({
        signature: altered,
        document: DOCUMENT,
        certificates,
        times: provenAt(now()),
      });
      const theirs = gpg.gpgv(certificates, altered, DOCUMENT);
      if (ours.outcome === "good") {
        accepted.add(at);
        if (!theirs.good) unexplained.push(`byte ${at}: only Assay says good`);
      } else if (theirs.good && byteReason(original, at) === undefined) {
        unexplained.push(`byte ${at}: only gpgv says good; Assay: ${ours.message}`);
      }
    }
    expect(unexplained).toEqual([]);
    // Of the byte that gives the kind of the uncovered issuer subpacket: RFC 9580 §5.2.3.7 lets readers ignore kinds they do not know.
    expect(accepted.size).toBeLessThanOrEqual(1);
  });
});
