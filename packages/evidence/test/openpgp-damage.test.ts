/**
 * The damage matrix of OpenPGP: every byte altered, every part dropped, doubled, or swapped for another signature's. All of it is refused with
 * a typed reason, but for the reviewed list of what no verdict depends on.
 */
import { describe, expect, test, vi } from "vitest";
import { EvidenceError } from "../src/index.ts";
import { DOCUMENT, verdict } from "./openpgp-asking.ts";
import {
  armor,
  BIRTH,
  clearSigned,
  ED25519,
  EDDSA_LEGACY,
  join,
  packet,
  plainCertificate,
  RSA,
  signature,
  signatureBody,
  subpacket,
  TestKey,
  u16,
  u32,
} from "./openpgp-builder.ts";

const key = new TestKey();
const rsa = new TestKey({ algorithm: RSA });
const six = new TestKey({ version: 6, algorithm: ED25519 });
const CODES = ["malformed", "unsupported", "unknown-signer", "signature-invalid", "weak-algorithm"];

/**
 * Bytes of a packet whose alteration changes nothing: the kind of the one subpacket that the signature does not cover, the issuer's key id. As
 * another kind, known or not, it says nothing of the issuer, whom the covered fingerprint names.
 */
function reviewed(bytes: Uint8Array): readonly number[] {
  const head = (bytes[1] ?? 0) < 192 ? 2 : 3;
  if (bytes[head] !== 4) return [];
  const hashed = ((bytes[head + 4] ?? 0) << 8) | (bytes[head + 5] ?? 0);
  return [head + 6 + hashed + 2 + 1];
}

describe("every byte altered", () => {
  test.each([
    ["version 4, Ed25519", key, {}],
    ["version 4, RSA", rsa, {}],
    ["version 3, RSA", rsa, { version: 3 }],
    ["version 6, Ed25519", six, {}],
  ] as const)("of a signature: %s", async (_name, by, spec) => {
    const original = signature(by, DOCUMENT, spec);
    const certificate = plainCertificate(by);
    const accepted = new Set<number>();
    for (let at = 0; at < original.length; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const altered = original.slice();
        altered[at] = (altered[at] ?? 0) ^ mask;
        const code = await verdict(altered, certificate);
        if (code === "good") accepted.add(at);
        expect([...CODES, "good"], `byte ${at} with ${mask}`).toContain(code);
      }
    }
    expect([...accepted].filter((at) => !reviewed(original).includes(at))).toEqual([]);
  });

  test("of a document", async () => {
    const made = signature(key, DOCUMENT);
    for (let at = 0; at < DOCUMENT.length; at++) {
      const altered = DOCUMENT.slice();
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect(await verdict(made, plainCertificate(key), { document: altered })).toBe("signature-invalid");
    }
  });

  test("of an armoured signature, but for blanks and line endings", async () => {
    const original = new TextEncoder().encode(armor("SIGNATURE", signature(key, DOCUMENT)));
    for (let at = 0; at < original.length; at++) {
      for (const value of [0x21, 0x41, 0x00, 0x0a]) {
        if (original[at] === value) continue;
        const altered = original.slice();
        altered[at] = value;
        // A line broken in two, where it is base64, is the same base64.
        if (value === 0x0a) continue;
        expect(await verdict(altered, plainCertificate(key)), `byte ${at} as ${value}`).not.toBe("good");
      }
    }
  });

  test("of a clear-signed text", async () => {
    const original = new TextEncoder().encode(clearSigned(key, "One line\n- and another\n"));
    const accepted: number[] = [];
    for (let at = 0; at < original.length; at++) {
      for (const value of [0x21, 0x41]) {
        if (original[at] === value) continue;
        const altered = original.slice();
        altered[at] = value;
        if ((await verdict(altered, plainCertificate(key), { document: new Uint8Array(0) })) === "good")
          accepted.push(at);
      }
    }
    expect(accepted).toEqual([]);
  });
});

describe("a certificate altered at any byte", () => {
  test("is refused, another's, or binds nothing any more", async () => {
    const text = plainCertificate(key);
    const base64 = text.split("\n").slice(2, -3).join("");
    const original = new Uint8Array(Buffer.from(base64, "base64"));
    const made = signature(key, DOCUMENT);
    const accepted: number[] = [];
    for (let at = 0; at < original.length; at++) {
      const altered = original.slice();
      altered[at] = (altered[at] ?? 0) ^ 1;
      const code = await codeOf(made, armor("PUBLIC KEY BLOCK", altered));
      if (code === "good") accepted.push(at);
      expect([...CODES, "good", "certificate-invalid", "key-invalid"], `byte ${at}`).toContain(code);
    }
    // The one byte is the kind of the uncovered issuer of the user id's certification: see `reviewed`.
    expect(accepted.map((at) => original[at])).toEqual([16]);
  });
});

/** The verdict's code, or that of the typed error by which a certificate was refused. */
async function codeOf(made: Uint8Array, certificate: string): Promise<string> {
  try {
    return await verdict(made, certificate);
  } catch (error) {
    if (error instanceof EvidenceError) return error.code;
    throw error;
  }
}

describe("every part of a signature dropped, doubled or swapped", () => {
  const certificates = [plainCertificate(key), plainCertificate(rsa)];
  const created = subpacket({ type: 2, body: u32(BIRTH + 100) });
  const issuer = subpacket({ type: 33, body: join([4], key.fingerprint) });
  const issuerId = subpacket({ type: 16, body: key.keyId });
  const own = signatureBody(key, DOCUMENT);
  const other = signatureBody(key, new TextEncoder().encode("another document"), { created: BIRTH + 150 });
  const hashedLength = created.length + issuer.length;
  const unhashedAt = 6 + hashedLength;
  const startAt = unhashedAt + 2 + issuerId.length;
  /** The fields of the body in order: RFC 9580 §5.2.3. */
  const bounds: readonly (readonly [string, number, number])[] = [
    ["version", 0, 1],
    ["type", 1, 2],
    ["public-key algorithm", 2, 3],
    ["hash algorithm", 3, 4],
    ["hashed length", 4, 6],
    ["creation time", 6, 6 + created.length],
    ["issuer fingerprint", 6 + created.length, unhashedAt],
    ["unhashed length", unhashedAt, unhashedAt + 2],
    ["issuer key id", unhashedAt + 2, startAt],
    ["digest start", startAt, startAt + 2],
    ["numbers", startAt + 2, own.length],
  ];

  test("the parts are the whole", async () => {
    expect(join(...bounds.map(([, from, to]) => own.subarray(from, to)))).toEqual(own);
    expect(await verdict(packet(2, own), certificates)).toBe("good");
  });

  test.each(bounds)("%s", async (_name, from, to) => {
    const part = own.subarray(from, to);
    const dropped = join(own.subarray(0, from), own.subarray(to));
    const doubled = join(own.subarray(0, to), part, own.subarray(to));
    expect(CODES).toContain(await verdict(packet(2, dropped), certificates));
    expect(CODES).toContain(await verdict(packet(2, doubled), certificates));
    const swapped = join(own.subarray(0, from), other.subarray(from, to), own.subarray(to));
    // A part that is the same in both is no swap.
    const isSame = Buffer.from(part).equals(Buffer.from(other.subarray(from, to)));
    expect(await verdict(packet(2, swapped), certificates)).toBe(isSame ? "good" : "signature-invalid");
  });

  test.each([
    ["creation time", [issuer], [issuerId]],
    ["creation time moved out of the covered part", [issuer], [created, issuerId]],
    ["creation time doubled", [created, created, issuer], [issuerId]],
    ["issuer of another", [created, subpacket({ type: 33, body: join([4], rsa.fingerprint) })], [issuerId]],
  ])("with lengths put right: %s", async (_name, hashed, unhashed) => {
    const [h, u] = [join(...hashed), join(...unhashed)];
    const body = join(own.subarray(0, 4), u16(h.length), h, u16(u.length), u, own.subarray(startAt));
    expect(CODES).toContain(await verdict(packet(2, body), certificates));
  });

  test("covered parts dropped with lengths put right are not covered any more", async () => {
    const body = join(own.subarray(0, 4), u16(created.length), created, own.subarray(unhashedAt));
    expect(await verdict(packet(2, body), certificates)).toBe("signature-invalid");
  });

  test("the uncovered issuer dropped, doubled, or another's: the first two change nothing, and are on the reviewed list", async () => {
    const withUnhashed = (...parts: Uint8Array[]): Uint8Array => {
      const area = join(...parts);
      return packet(2, join(own.subarray(0, unhashedAt), u16(area.length), area, own.subarray(startAt)));
    };
    expect(await verdict(withUnhashed(), certificates)).toBe("good");
    expect(await verdict(withUnhashed(issuerId, issuerId), certificates)).toBe("good");
    expect(await verdict(withUnhashed(subpacket({ type: 16, body: rsa.keyId })), certificates)).toBe("unknown-signer");
    expect(
      await verdict(withUnhashed(issuerId, subpacket({ type: 99, body: [1], critical: true })), certificates),
    ).toBe("unsupported");
  });

  test("the signature of another document, key or version in its place", async () => {
    expect(await verdict(packet(2, other), certificates)).toBe("signature-invalid");
    const forged = join(own.subarray(0, startAt), signatureBody(new TestKey(), DOCUMENT).subarray(startAt));
    expect(await verdict(packet(2, forged), certificates)).toBe("signature-invalid");
    const fields = signatureBody(rsa, DOCUMENT, { version: 3 });
    expect(await verdict(packet(2, join([4], fields.subarray(1))), certificates)).toBe("malformed");
  });

  test("RSA numbers of zero, one, and as large as the modulus are no signatures", async () => {
    const body = signatureBody(rsa, DOCUMENT);
    const numbersAt = body.length - 258;
    for (const numbers of [u16(0), join(u16(1), [1]), join(u16(2048), new Uint8Array(256).fill(255))]) {
      expect(["signature-invalid", "malformed"]).toContain(
        await verdict(packet(2, join(body.subarray(0, numbersAt), numbers)), certificates),
      );
    }
  });
});

describe("Ed25519 signatures are decided as everywhere in this package", () => {
  const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
  const littleEndian = (value: bigint): Uint8Array =>
    new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex").reverse());

  test.each([
    ["version 4", { algorithm: EDDSA_LEGACY }],
    ["version 6", { algorithm: ED25519, version: 6 }],
    ["version 4, where the platform has no Ed25519", { algorithm: EDDSA_LEGACY }],
  ] as const)("a second spelling of S is refused: %s", async (name, spec) => {
    if (name.includes("no Ed25519")) {
      const none = Object.assign(new Error("No Ed25519 here."), { name: "NotSupportedError" });
      vi.spyOn(globalThis.crypto.subtle, "importKey").mockRejectedValue(none);
    }
    let isOn = false;
    const alter = (numbers: Uint8Array): Uint8Array => {
      if (!isOn) return numbers;
      const s = BigInt(`0x${Buffer.from(numbers.subarray(32)).reverse().toString("hex")}`);
      return join(numbers.subarray(0, 32), littleEndian(s + ORDER));
    };
    const by = new TestKey({ ...spec, alter });
    const certificate = plainCertificate(by);
    expect(await verdict(signature(by, DOCUMENT), certificate)).toBe("good");
    isOn = true;
    expect(await verdict(signature(by, DOCUMENT), certificate)).toBe("signature-invalid");
  });

  test.each([
    ["version 4", { algorithm: EDDSA_LEGACY }],
    ["version 6", { algorithm: ED25519, version: 6 }],
  ] as const)("a key under which one signature fits all documents is refused: %s", async (_name, spec) => {
    const identity = new Uint8Array(32).fill(1, 0, 1);
    const by = new TestKey({ ...spec, point: identity, alter: () => join(identity, new Uint8Array(32)) });
    // In version 4 S is a number, and zero has no first digit.
    expect(["signature-invalid", "malformed"]).toContain(await verdict(signature(by, DOCUMENT), plainCertificate(by)));
  });
});
