/** What an OpenPGP key was worth when it signed: bindings, flags, expiry, revocation, by proven time only. */
import { describe, expect, test } from "vitest";
import { ask, DOCUMENT, verdict } from "./openpgp-asking.ts";
import {
  armor,
  BIRTH,
  certificate,
  COMPROMISED,
  directSignature,
  ED25519,
  expiresAfter,
  FLAGS_CERTIFY,
  FLAGS_ENCRYPT,
  FLAGS_SIGN,
  FLAGS_SIGN_ONLY,
  join,
  keyRevocation,
  mpi,
  NO_REASON,
  packet,
  RETIRED,
  RSA,
  signature,
  signatureBody,
  SUPERSEDED,
  subkeyPackets,
  subkeyRevocation,
  TestKey,
  u32,
  USER_ID_INVALID,
  userIdPackets,
  userIdRevocation,
} from "./openpgp-builder.ts";

const DAY = 86_400;
const NAME = "Test <test@example.org>";
const key = new TestKey();
const sub = new TestKey();
const stranger = new TestKey();
const made = signature(key, DOCUMENT);
const bySub = signature(sub, DOCUMENT);
const SIGNED = BIRTH + 100;

/** Verdicts with a time proven before `change`, after it, and with none. */
async function threeVerdicts(bytes: Uint8Array, text: string, change: number): Promise<string[]> {
  const times = [change - 1, change, null];
  return Promise.all(times.map((proven) => verdict(bytes, text, { proven })));
}

describe("expiry is judged at the earliest proven time", () => {
  test("of the primary key", async () => {
    const text = certificate(key, userIdPackets(key, NAME, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] }));
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(["good", "key-expired", "time-unproven"]);
  });

  test("of the primary key, for its subkeys too", async () => {
    const text = certificate(
      key,
      userIdPackets(key, NAME, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] }),
      subkeyPackets(key, sub),
    );
    expect(await threeVerdicts(bySub, text, BIRTH + DAY)).toEqual(["good", "key-expired", "time-unproven"]);
  });

  test("of a subkey", async () => {
    const text = certificate(
      key,
      userIdPackets(key, NAME),
      subkeyPackets(key, sub, { hashed: [FLAGS_SIGN_ONLY, expiresAfter(DAY)] }),
    );
    expect(await threeVerdicts(bySub, text, BIRTH + DAY)).toEqual(["good", "key-expired", "time-unproven"]);
    expect(await verdict(made, text, { proven: null })).toBe("good");
  });

  test("of a key whose direct signature says so, whatever its user id says", async () => {
    const text = certificate(
      key,
      directSignature(key, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] }),
      userIdPackets(key, NAME),
    );
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(["good", "key-expired", "time-unproven"]);
  });

  test("by the newest self-signature", async () => {
    const old = userIdPackets(key, NAME, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] });
    const prolonged = packet(
      2,
      signatureBody(key, join(key.hashed, [0xb4], u32(NAME.length), new TextEncoder().encode(NAME)), {
        type: 0x13,
        created: BIRTH + 10,
        hashed: [FLAGS_SIGN],
      }),
    );
    expect(await verdict(made, certificate(key, old, prolonged), { proven: null })).toBe("good");
  });

  test("and what the signer claims to be older is not older by that", async () => {
    const text = certificate(key, userIdPackets(key, NAME, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] }));
    const later = signature(key, DOCUMENT, { created: BIRTH + 2 * DAY });
    expect(await verdict(made, text, { proven: BIRTH + 2 * DAY })).toBe("key-expired");
    expect(await verdict(later, text, { proven: null })).toBe("key-expired");
  });

  test("of the signature itself", async () => {
    const mortal = signature(key, DOCUMENT, { hashed: [{ type: 3, body: u32(DAY) }] });
    const text = certificate(key, userIdPackets(key, NAME));
    expect(await threeVerdicts(mortal, text, SIGNED + DAY)).toEqual(["good", "outside-validity", "time-unproven"]);
  });
});

describe("revocation", () => {
  const soft = ["good", "key-revoked", "time-unproven"];
  const hard = ["key-revoked", "key-revoked", "key-revoked"];

  test.each([
    ["superseded", SUPERSEDED, soft],
    ["retired", RETIRED, soft],
    ["compromised", COMPROMISED, hard],
    ["no reason", NO_REASON, hard],
    ["no reason written", null, hard],
    ["a reason that nobody knows", 77, hard],
    ["a user id's reason", USER_ID_INVALID, hard],
  ] as const)("of the primary key: %s", async (_name, code, expected) => {
    const text = certificate(
      key,
      keyRevocation(key, code, BIRTH + DAY),
      userIdPackets(key, NAME),
      subkeyPackets(key, sub),
    );
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(expected);
    expect(await threeVerdicts(bySub, text, BIRTH + DAY)).toEqual(expected);
  });

  test.each([
    ["superseded", SUPERSEDED, soft],
    ["compromised", COMPROMISED, hard],
  ] as const)("of a subkey: %s", async (_name, code, expected) => {
    const revocation = subkeyRevocation(key, sub, code, BIRTH + DAY);
    const text = certificate(key, userIdPackets(key, NAME), subkeyPackets(key, sub, {}, revocation));
    expect(await threeVerdicts(bySub, text, BIRTH + DAY)).toEqual(expected);
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(["good", "good", "good"]);
  });

  test.each([
    ["no longer valid", USER_ID_INVALID, soft],
    ["no reason", NO_REASON, hard],
  ] as const)("of the only user id: %s", async (_name, code, expected) => {
    const text = certificate(key, userIdPackets(key, NAME, {}, userIdRevocation(key, NAME, code, BIRTH + DAY)));
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(expected);
  });

  test("of one user id leaves the key to the other", async () => {
    const text = certificate(
      key,
      userIdPackets(key, NAME, {}, userIdRevocation(key, NAME, NO_REASON, BIRTH + DAY)),
      userIdPackets(key, "Other"),
    );
    expect(await threeVerdicts(made, text, BIRTH + DAY)).toEqual(["good", "good", "good"]);
  });

  test("never rests on the claimed time alone", async () => {
    const text = certificate(key, keyRevocation(key, SUPERSEDED, BIRTH + DAY), userIdPackets(key, NAME));
    const backdated = signature(key, DOCUMENT, { created: BIRTH + 1 });
    expect(await verdict(backdated, text, { proven: BIRTH + 2 * DAY })).toBe("key-revoked");
    expect(await verdict(backdated, text, { proven: null })).toBe("time-unproven");
  });

  test("by SHA-1, MD5, or a hash that is not known is believed", async () => {
    for (const by of [key, new TestKey({ algorithm: RSA })]) {
      for (const hash of [1, 2, 99]) {
        const text = certificate(by, keyRevocation(by, COMPROMISED, BIRTH + DAY, { hash }), userIdPackets(by, NAME));
        expect(await verdict(signature(by, DOCUMENT), text), `${hash}`).toBe("key-revoked");
      }
    }
  });

  test("by somebody else is none, unless the key has let them", async () => {
    const revocation = packet(2, signatureBody(stranger, key.hashed, { type: 0x20 }));
    expect(await verdict(made, certificate(key, revocation, userIdPackets(key, NAME)))).toBe("good");
    const revoker = directSignature(key, {
      hashed: [FLAGS_SIGN, { type: 12, body: join([0x80, 22], stranger.fingerprint) }],
    });
    expect(await verdict(made, certificate(key, revoker, userIdPackets(key, NAME)))).toBe("good");
    expect(await verdict(made, certificate(key, revoker, revocation, userIdPackets(key, NAME)))).toBe("key-revoked");
  });

  test("that is damaged is none", async () => {
    const revocation = keyRevocation(key, COMPROMISED, BIRTH + DAY);
    revocation[revocation.length - 1] = (revocation.at(-1) ?? 0) ^ 1;
    expect(await verdict(made, certificate(key, revocation, userIdPackets(key, NAME)))).toBe("good");
  });
});

describe("a subkey signs for its primary key", () => {
  test.each([
    ["good", "bound, for signing, and agreeing", {}],
    ["certificate-invalid", "without its agreement", { back: null }],
    ["certificate-invalid", "with a stranger's agreement", { backBy: stranger }],
    ["certificate-invalid", "with an agreement of another type", { back: { type: 0x18 } }],
    ["certificate-invalid", "with an agreement that expires", { back: { hashed: [{ type: 3, body: u32(DAY) }] } }],
    ["certificate-invalid", "for encryption", { hashed: [FLAGS_ENCRYPT] }],
    ["certificate-invalid", "for certification", { hashed: [FLAGS_CERTIFY] }],
    ["certificate-invalid", "for nothing that is said", { hashed: [] }],
    [
      "certificate-invalid",
      "with a critical subpacket that is not understood",
      { hashed: [FLAGS_SIGN_ONLY, { type: 99, body: [1], critical: true }] },
    ],
    ["certificate-invalid", "by another type of signature", { type: 0x1f }],
  ] as const)("%s: %s", async (expected, _name, spec) => {
    expect(await verdict(bySub, certificate(key, userIdPackets(key, NAME), subkeyPackets(key, sub, spec)))).toBe(
      expected,
    );
  });

  test("not without a binding, nor with one by another key, nor with one of another subkey", async () => {
    const bare = packet(14, sub.body);
    const byStranger = subkeyPackets(stranger, sub).subarray(bare.length);
    const other = subkeyPackets(key, stranger).subarray(packet(14, stranger.body).length);
    for (const parts of [bare, join(bare, byStranger), join(bare, other)]) {
      expect(await verdict(bySub, certificate(key, userIdPackets(key, NAME), parts))).toBe("certificate-invalid");
    }
  });

  test("when a key takes another's signing subkey, its signatures do not become its own", async () => {
    const thief = new TestKey();
    const stolen = certificate(thief, userIdPackets(thief, "Thief"), subkeyPackets(thief, sub, { backBy: thief }));
    expect(await verdict(bySub, stolen)).toBe("certificate-invalid");
    const owners = certificate(key, userIdPackets(key, NAME), subkeyPackets(key, sub));
    for (const certificates of [
      [stolen, owners],
      [owners, stolen],
    ]) {
      expect(await ask(bySub, certificates)).toMatchObject({
        outcome: "good",
        fingerprint: key.hex,
        signingKey: sub.hex,
      });
    }
  });

  test("and a weak primary key makes it weak", async () => {
    const weak = new TestKey({ algorithm: RSA, bits: 1024 });
    expect(await verdict(bySub, certificate(weak, userIdPackets(weak, NAME), subkeyPackets(weak, sub)))).toBe(
      "weak-algorithm",
    );
  });

  test("of version 6, bound by a direct signature's key", async () => {
    const primary = new TestKey({ version: 6, algorithm: ED25519 });
    const subkey = new TestKey({ version: 6, algorithm: ED25519 });
    const text = certificate(primary, directSignature(primary), subkeyPackets(primary, subkey));
    expect(await verdict(signature(subkey, DOCUMENT), text)).toBe("good");
    const nobody = certificate(primary, subkeyPackets(primary, subkey));
    expect(await verdict(signature(subkey, DOCUMENT), nobody)).toBe("certificate-invalid");
  });
});

describe("a primary key", () => {
  test.each([
    ["certificate-invalid", "has certified no user id and not itself", []],
    [
      "certificate-invalid",
      "is certified by another only",
      [packet(13, Uint8Array.of(65)), packet(2, signatureBody(stranger, key.hashed, { type: 0x13 }))],
    ],
    ["certificate-invalid", "is for certification only", [userIdPackets(key, NAME, { hashed: [FLAGS_CERTIFY] })]],
    ["good", "says nothing of what it is for", [userIdPackets(key, NAME, { hashed: [] })]],
    ["good", "has a direct signature only", [directSignature(key)]],
    [
      "certificate-invalid",
      "has a user id that its certification is not of",
      [userIdPackets(key, NAME).fill(66, 2, 6)],
    ],
  ] as const)("gives %s when it %s", async (expected, _name, parts) => {
    expect(await verdict(made, certificate(key, ...parts))).toBe(expected);
  });

  test("binds its name by SHA-1 or a version 3 signature if it is an old RSA key, but not by MD5", async () => {
    const rsa = new TestKey({ algorithm: RSA });
    const byRsa = signature(rsa, DOCUMENT);
    expect(await verdict(byRsa, certificate(rsa, userIdPackets(rsa, NAME, { hash: 2 })))).toBe("good");
    expect(await verdict(byRsa, certificate(rsa, userIdPackets(rsa, NAME, { version: 3, type: 0x10 })))).toBe("good");
    expect(await verdict(byRsa, certificate(rsa, userIdPackets(rsa, NAME, { hash: 1 })))).toBe("certificate-invalid");
  });
});

describe("the claimed time", () => {
  const text = certificate(key, userIdPackets(key, NAME));

  test("may not be before the key", async () => {
    expect(await verdict(signature(key, DOCUMENT, { created: BIRTH - 1 }), text)).toBe("signature-invalid");
    expect(await verdict(signature(key, DOCUMENT, { created: BIRTH }), text)).toBe("good");
  });

  test("may be five minutes after the proven one, and no more", async () => {
    expect(await verdict(made, text, { proven: SIGNED - 300 })).toBe("good");
    expect(await verdict(made, text, { proven: SIGNED - 301 })).toBe("signature-invalid");
  });
});

test("a key so large that it would take seconds to calculate with is not calculated with", async () => {
  const huge = new Uint8Array(3_000).fill(0xff);
  const body = join([4], u32(BIRTH), [RSA], mpi(huge), mpi(huge));
  const text = armor("PUBLIC KEY BLOCK", join(packet(6, body), packet(13, Uint8Array.of(65))));
  const unnamed = signature(new TestKey({ algorithm: RSA }), DOCUMENT, {
    onlyHashed: [{ type: 2, body: u32(SIGNED) }],
    unhashed: [],
  });
  const started = performance.now();
  expect(await verdict(unnamed, text)).toBe("unsupported");
  expect(performance.now() - started).toBeLessThan(1_000);
});
