/**
 * What notation itself wrote (fixtures/notation), good as it is, and refused when any field or byte of it is altered, dropped, repeated
 * or taken from another signature; what no verdict depends on stands on the list.
 */
import { describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  certificateKeyId,
  type Digest,
  digestOf,
  NOTATION_PREDICATE,
  type ProvenTime,
  readEvidence,
  type TrustEntry,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  verify,
} from "../src/index.ts";
import { notationUnderRoot, checkNotation, verifyNotation } from "../src/notation-verify.ts";
import { parseNotation } from "../src/notation.ts";
import { type TrustRoot, x509Root } from "../src/trust-root.ts";
import { fixture, fixtureBytes } from "./fixtures.ts";
import { receivedAt } from "./virtual.ts";

const artifact: Digest = digestOf(nodeCrypto, fixtureBytes("notation/manifest.oci"));
const root = x509Root("acme", [fixture("notation/root.pem")], [fixture("notation/tsa-root.pem")]);
const untimed = x509Root("acme", [fixture("notation/root.pem")]);
/** When the fixtures were made. */
const MADE = Date.parse("2026-11-22T19:51:30Z");
const YEAR = 365 * 86_400_000;
const now = [receivedAt(MADE + 60_000)];

const NAMES = ["p256.jws", "p256.cose", "rsa.jws", "rsa.cose", "stamped.jws", "stamped.cose"];
const envelope = (name: string): Uint8Array => fixtureBytes(`notation/${name}`);

async function outcome(
  bytes: Uint8Array,
  under: TrustRoot = root,
  times: readonly ProvenTime[] = now,
): Promise<string> {
  const result = await verifyNotation(nodeCrypto, { bytes, root: under, times, artifact });
  return result.ok ? "good" : result.code;
}

describe("what notation wrote", () => {
  test.each(NAMES)("%s is good about its artifact and no other", async (name) => {
    expect(await outcome(envelope(name))).toBe("good");
    const other = digestOf(nodeCrypto, utf8Encode("another"));
    const bytes = envelope(name);
    expect(await verifyNotation(nodeCrypto, { bytes, root, times: now, artifact: other })).toMatchObject({
      ok: false,
      code: "subject-mismatch",
    });
  });

  test("says what it says of its artifact", async () => {
    const result = await verifyNotation(nodeCrypto, { bytes: envelope("p256.cose"), root, times: now, artifact });
    expect(result).toMatchObject({
      ok: true,
      predicateType: "application/vnd.cncf.notary.payload.v1+json",
      predicate: {
        targetArtifact: {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: artifact,
          size: fixtureBytes("notation/manifest.oci").length,
          annotations: { build: "17" },
        },
        signedAttributes: { signingScheme: "notary.x509", expiry: expect.stringMatching(/^2036-/) as string },
      },
      times: [],
      certificate: { subjectText: "CN=signer,O=Acme,ST=Berlin,C=DE" },
    });
  });

  test.each(["stamped.jws", "stamped.cose"])(
    "%s proves its own time, where the root names a timestamp authority",
    async (name) => {
      const bytes = envelope(name);
      const result = await verifyNotation(nodeCrypto, { bytes, root, times: [], artifact });
      expect(result).toMatchObject({ ok: true, times: [{ source: "rfc3161" }] });
      expect(await outcome(bytes, untimed, [])).toBe("time-unproven");
      expect(await outcome(bytes, untimed)).toBe("good");
      // Long after the certificate's end the timestamp still stands.
      const late = [receivedAt(MADE + 20 * YEAR)];
      expect(await outcome(bytes, root, late)).toBe("good");
      expect(await outcome(bytes, untimed, late)).toBe("certificate-expired");
      const strangers = x509Root("acme", [fixture("notation/root.pem")], [fixture("notation/root.pem")]);
      expect(await outcome(bytes, strangers)).toBe("timestamp-invalid");
    },
  );

  test("is refused where nothing proves a time", async () => {
    expect(await outcome(envelope("p256.jws"), root, [])).toBe("time-unproven");
  });

  test("is refused once it has expired: known by a proven time, or by the moment that is asked about", async () => {
    const bytes = envelope("p256.jws");
    const { expiry } = parseNotation(bytes);
    if (expiry === null) throw new Error("the fixture expires");
    const ask = (moment?: number) =>
      verifyNotation(nodeCrypto, {
        bytes,
        root,
        times: now,
        artifact,
        ...(moment === undefined ? {} : { now: moment }),
      });
    expect(await ask()).toMatchObject({ ok: true });
    expect(await ask(expiry - 1)).toMatchObject({ ok: true });
    expect(await ask(expiry)).toMatchObject({ ok: false, code: "outside-validity" });
    const times = [receivedAt(MADE + 60_000), receivedAt(expiry)];
    expect(await outcome(bytes, root, times)).toBe("outside-validity");
  });

  test("is not judged under a root of Sigstore's", async () => {
    expect(await outcome(envelope("p256.jws"), { ...root, profile: "sigstore" })).toBe("chain-untrusted");
  });

  test("is checked once and put before several roots", async () => {
    const checked = await checkNotation(nodeCrypto, parseNotation(envelope("p256.jws")));
    if (!checked.ok) throw new Error(checked.message);
    const stranger = x509Root("other", [fixture("notation/tsa-root.pem")]);
    expect(await notationUnderRoot(nodeCrypto, checked, { root: stranger, times: now })).toMatchObject({
      code: "chain-untrusted",
    });
    const answer = await notationUnderRoot(nodeCrypto, checked, { root, times: now });
    const [anchor] = checked.intermediates;
    expect(answer).toMatchObject({
      ok: true,
      chain: [checked.leaf, anchor].map((one) => ({ fingerprint: one?.fingerprint })),
    });
  });
});

describe("verify believes what notation wrote", () => {
  const subject = { kind: "exact", value: "CN=signer,O=Acme,ST=Berlin,C=DE" } as const;
  const identity = { root: "acme", issuer: null, subject };
  const entry: TrustEntry = {
    kind: "certificate",
    id: "signer",
    name: "signer",
    keyId: certificateKeyId(identity),
    scope: { repositories: ["**"], predicateTypes: [NOTATION_PREDICATE] },
    validFrom: null,
    validUntil: null,
    primary: false,
    ...identity,
  };
  const trust: TrustVersion = { org: "acme", version: 1, entries: [entry], logs: [], roots: [root] };
  const ask = (name: string, changes: Partial<Parameters<typeof verify>[1]> = {}) =>
    verify(nodeCrypto, { bundle: envelope(name), artifact, trust, times: now, ...changes });

  test.each(["p256.jws", "p256.cose", "stamped.jws", "stamped.cose"])(
    "in %s, by the certificate's holder",
    async (name) => {
      expect(await ask(name)).toMatchObject({
        status: "verified",
        statement: { predicateType: NOTATION_PREDICATE, subjects: [{ digest: { sha256: artifact.slice(7) } }] },
        signer: { kind: "certificate", entry: "signer", certificate: { issuer: null, subject: subject.value } },
        notEvaluated: [],
      });
    },
  );

  test("and says that a timestamp counted for nothing where the root names no authority for it", async () => {
    const verdict = await ask("stamped.cose", { trust: { ...trust, roots: [untimed] } });
    expect(verdict).toMatchObject({ status: "verified", notEvaluated: ["timestamps"] });
  });

  test("but not by a holder whom no entry means, about another artifact, or after its expiry", async () => {
    expect(await ask("rsa.jws")).toMatchObject({ status: "refused", code: "unknown-signer" });
    const other = digestOf(nodeCrypto, utf8Encode("another"));
    expect(await ask("p256.jws", { artifact: other })).toMatchObject({ status: "refused", code: "subject-mismatch" });
    const late = Date.parse("2040-01-01T00:00:00Z");
    expect(await ask("p256.jws", { now: late })).toMatchObject({ status: "refused", code: "outside-validity" });
  });

  test("and knows one signature in two spellings for one", () => {
    const json = JSON.parse(utf8Decode(envelope("p256.jws"))) as { signature: string };
    const signature = Buffer.from(json.signature, "base64url");
    // (r, n-s) is as good a signature as (r, s), and anybody can write it.
    const s = BigInt(`0x${signature.subarray(32).toString("hex")}`);
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    signature.set(Buffer.from((order - s).toString(16).padStart(64, "0"), "hex"), 32);
    const other = utf8Encode(JSON.stringify({ ...json, signature: signature.toString("base64url") }));
    expect(readEvidence(nodeCrypto, other).signature).toBe(readEvidence(nodeCrypto, envelope("p256.jws")).signature);
  });
});

describe("a JWS envelope", () => {
  type Json = { payload: string; protected: string; header: Record<string, unknown>; signature: string };
  const parse = (name: string): Json => JSON.parse(utf8Decode(envelope(name))) as Json;
  const written = (json: unknown): Uint8Array => utf8Encode(JSON.stringify(json));

  /** The reviewed list of fields no verdict depends on. */
  const free: Readonly<Record<string, string>> = {
    "header.io.cncf.notary.signingAgent dropped": "the name of a program, unsigned, on which nothing may depend",
    "header.io.cncf.notary.signingAgent altered": "as above",
    "header.io.cncf.notary.signingAgent emptied": "as above",
    "header.io.cncf.notary.timestampSignature dropped":
      "without it, the request's own times prove the signature's time",
  };

  test.each(["p256.jws", "stamped.jws"])(
    "of %s is refused when a member is altered, dropped, emptied, repeated or of another type",
    async (name) => {
      const json = parse(name);
      const believed: string[] = [];
      const consider = async (what: string, bytes: Uint8Array): Promise<void> => {
        if ((await outcome(bytes)) === "good" && free[what] === undefined) believed.push(what);
      };
      for (const member of Object.keys(json) as (keyof Json)[]) {
        const { [member]: value, ...rest } = json;
        await consider(`${member} dropped`, written(rest));
        for (const wrong of ["", null, 1, [], {}])
          await consider(`${member} as ${JSON.stringify(wrong)}`, written({ ...rest, [member]: wrong }));
        const text = utf8Decode(written(json));
        await consider(
          `${member} repeated`,
          utf8Encode(`${text.slice(0, -1)},${JSON.stringify(member)}:${JSON.stringify(value)}}`),
        );
        if (typeof value === "string") {
          for (const other of alteredTexts(value))
            await consider(`${member} altered`, written({ ...rest, [member]: other }));
        }
      }
      for (const [member, value] of Object.entries(json.header)) {
        const { [member]: _, ...rest } = json.header;
        await consider(`header.${member} dropped`, written({ ...json, header: rest }));
        await consider(
          `header.${member} emptied`,
          written({ ...json, header: { ...rest, [member]: Array.isArray(value) ? [] : "" } }),
        );
        for (const wrong of [null, 1, {}])
          await consider(
            `header.${member} as ${JSON.stringify(wrong)}`,
            written({ ...json, header: { ...rest, [member]: wrong } }),
          );
        if (typeof value === "string") {
          // In the middle of the timestamp lies its copy of a root that the trust root has itself; timestamp.test.ts walks over its fields.
          for (const other of alteredTexts(value, !member.endsWith("timestampSignature")))
            await consider(`header.${member} altered`, written({ ...json, header: { ...rest, [member]: other } }));
        }
        if (Array.isArray(value)) {
          const list = value as string[];
          for (const [i, element] of list.entries()) {
            await consider(
              `header.${member}[${i}] dropped`,
              written({ ...json, header: { ...rest, [member]: list.toSpliced(i, 1) } }),
            );
            await consider(
              `header.${member}[${i}] repeated`,
              written({ ...json, header: { ...rest, [member]: list.toSpliced(i, 0, element) } }),
            );
            for (const other of alteredTexts(element))
              await consider(
                `header.${member}[${i}] altered`,
                written({ ...json, header: { ...rest, [member]: list.with(i, other) } }),
              );
          }
          await consider(
            `header.${member} turned round`,
            written({ ...json, header: { ...rest, [member]: list.toReversed() } }),
          );
        }
      }
      await consider("another member", written({ ...json, more: 1 }));
      await consider("another header", written({ ...json, header: { ...json.header, kid: "1" } }));
      expect(believed).toEqual([]);
    },
  );

  test("is refused with any part of another good one", async () => {
    const [one, two] = [parse("p256.jws"), parse("rsa.jws")];
    for (const member of ["payload", "protected", "header", "signature"] as const) {
      expect([member, await outcome(written({ ...one, [member]: two[member] }))]).not.toEqual([member, "good"]);
    }
  });

  test.each([
    ["padding", (text: string) => `${text}==`],
    ["standard base64", (text: string) => text.replaceAll("-", "+").replaceAll("_", "/")],
    // 256 bytes are 342 digits, of which the last holds four bits and two zeros.
    ["bits beyond its last byte", (text: string) => `${text.slice(0, -1)}B`],
  ])("is refused with a signature in %s", async (_, write) => {
    const json = parse("rsa.jws");
    const signature = write(json.signature);
    expect(signature).not.toBe(json.signature);
    expect(await outcome(written({ ...json, signature }))).toBe("malformed");
  });

  /** The text with its first, a middle and its last character changed, and one cut off. */
  function alteredTexts(text: string, middle = true): string[] {
    const places = [0, ...(middle ? [text.length >> 1] : []), text.length - 2].filter(
      (at) => at >= 0 && at < text.length,
    );
    const other = (at: number): string => (text[at] === "A" ? "B" : "A");
    return [
      ...places.map((at) => text.slice(0, at) + other(at) + text.slice(at + 1)),
      text.slice(1),
      text.slice(0, -1),
    ];
  }
});

describe("a COSE envelope", () => {
  test.each(["p256.cose", "stamped.cose"])(
    "of %s is refused when any byte is altered, dropped or repeated",
    async (name) => {
      const bytes = envelope(name);
      // What no verdict depends on: the name of the program that signed, and the timestamp's copy of a root that the trust root has itself.
      const free = [placeOf(bytes, "notation-go/1.3.2"), placeOf(bytes, root.timestampAuthorities[0]?.certificates[0])];
      const believed: string[] = [];
      const consider = async (what: string, at: number, altered: Uint8Array): Promise<void> => {
        if (what === "altered" && free.some(({ from, to }) => at >= from && at < to)) return;
        if ((await outcome(altered)) === "good") believed.push(`${what} at ${at}`);
      };
      for (let at = 0; at < bytes.length; at++) {
        for (const bit of [0x01, 0x80]) await consider("altered", at, bytes.with(at, (bytes[at] ?? 0) ^ bit));
        await consider("dropped", at, Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + 1)]));
        await consider("repeated", at, Uint8Array.from([...bytes.subarray(0, at + 1), ...bytes.subarray(at)]));
      }
      expect(believed).toEqual([]);
    },
  );

  test("is refused when it is cut off anywhere, or followed by anything", async () => {
    const bytes = envelope("p256.cose");
    for (let length = 0; length < bytes.length; length++)
      expect(await outcome(bytes.subarray(0, length))).toBe("malformed");
    expect(await outcome(Uint8Array.from([...bytes, 0]))).toBe("malformed");
  });

  /** Where some bytes lie; nowhere if they are not there. */
  function placeOf(bytes: Uint8Array, part: string | Uint8Array | undefined): { from: number; to: number } {
    const from = part === undefined ? -1 : Buffer.from(bytes).indexOf(part);
    return from < 0 ? { from: 0, to: 0 } : { from, to: from + (part?.length ?? 0) };
  }
});
