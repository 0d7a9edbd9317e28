/** Files that carry OpenPGP signatures: git objects and rpm packages, made by hand here and by the real programs in interop/openpgp. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readGitObject, readRpm, verifyRpm } from "../openpgp/index.ts";
import { provenAt, PROVEN, verdict } from "./openpgp-asking.ts";
import { armor, join, plainCertificate, signature, TestKey, u32 } from "./openpgp-builder.ts";

const key = new TestKey();
const trusted = plainCertificate(key);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const HEADERS =
  "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n";
const MESSAGE = "\nA commit\n\ngpgsig is a word in its body\n continued\n";

function signedCommit(header = "gpgsig"): string {
  const text = armor("SIGNATURE", signature(key, HEADERS + MESSAGE)).trimEnd();
  return `${HEADERS}${header} ${text.replaceAll("\n", "\n ")}\n${MESSAGE}`;
}

describe("a git commit", () => {
  test.each(["gpgsig", "gpgsig-sha256"])("is taken apart at its header %s", async (header) => {
    const object = readGitObject("commit", encode(signedCommit(header)));
    if (object.signed !== "openpgp") throw new Error(object.signed);
    expect(decode(object.document)).toBe(HEADERS + MESSAGE);
    expect(await verdict(object.signature, trusted, { document: object.document })).toBe("good");
  });

  test("without the header is not signed, whatever stands in its message or in a merged tag", () => {
    const tag = armor("SIGNATURE", signature(key, "tag")).trimEnd().replaceAll("\n", "\n ");
    for (const text of [
      HEADERS + MESSAGE,
      `${HEADERS}\n${signedCommit()}`,
      `${HEADERS}mergetag object 1\n gpgsig x\n ${tag}\n${MESSAGE}`,
    ]) {
      expect(readGitObject("commit", encode(text))).toEqual({ signed: "not" });
    }
  });

  test("with two signatures is refused", () => {
    const twice = signedCommit().replace("gpgsig ", "gpgsig a\ngpgsig-sha256 ");
    expect(() => readGitObject("commit", encode(twice))).toThrow(expect.objectContaining({ code: "openpgp-invalid" }));
  });

  test.each([
    ["SSH SIGNATURE", "ssh"],
    ["SIGNED MESSAGE", "x509"],
    ["ANYTHING", "unknown"],
  ])("signed by %s is named as %s", (label, by) => {
    const text = `${HEADERS}gpgsig -----BEGIN ${label}-----\n AAAA\n -----END ${label}-----\n${MESSAGE}`;
    expect(readGitObject("commit", encode(text))).toEqual({ signed: "unsupported", by });
  });
});

describe("a git tag", () => {
  const content =
    "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype commit\ntag v1\ntagger A <a@example.org> 1700000000 +0000\n\nA tag\n";

  test("ends in its signature", async () => {
    const object = readGitObject("tag", encode(content + armor("SIGNATURE", signature(key, content))));
    if (object.signed !== "openpgp") throw new Error(object.signed);
    expect(decode(object.document)).toBe(content);
    expect(await verdict(object.signature, trusted, { document: object.document })).toBe("good");
    expect(readGitObject("tag", encode(content))).toEqual({ signed: "not" });
  });

  test("with text behind its signature is not good", async () => {
    const object = readGitObject("tag", encode(`${content}${armor("SIGNATURE", signature(key, content))}more\n`));
    if (object.signed !== "openpgp") throw new Error(object.signed);
    expect(await verdict(object.signature, trusted, { document: object.document })).toBe("malformed");
  });

  test("with two signatures is signed by the last, over the first", async () => {
    const inner = content + armor("SIGNATURE", signature(key, content));
    const object = readGitObject("tag", encode(inner + armor("SIGNATURE", signature(key, content))));
    if (object.signed !== "openpgp") throw new Error(object.signed);
    expect(decode(object.document)).toBe(inner);
    expect(await verdict(object.signature, trusted, { document: object.document })).toBe("signature-invalid");
  });
});

type Tag = { tag: number; type: number; count: number; data: Uint8Array };

function header(tags: readonly Tag[]): Uint8Array {
  let offset = 0;
  const index: Uint8Array[] = [];
  for (const { tag, type, count, data } of tags) {
    index.push(u32(tag), u32(type), u32(offset), u32(count));
    offset += data.length;
  }
  const store = join(...tags.map(({ data }) => data));
  return join([0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0], u32(tags.length), u32(store.length), ...index, store);
}

const binary = (tag: number, data: Uint8Array): Tag => ({ tag, type: 7, count: data.length, data });
const strings = (tag: number, ...texts: string[]): Tag => ({
  tag,
  type: 8,
  count: texts.length,
  data: encode(texts.map((text) => `${text}\0`).join("")),
});
const number = (tag: number, value: number): Tag => ({ tag, type: 4, count: 1, data: u32(value) });

function rpmOf(signatures: readonly Tag[], main: Uint8Array, payload: Uint8Array): Uint8Array {
  const signatureHeader = header(signatures);
  return join(
    [0xed, 0xab, 0xee, 0xdb],
    new Uint8Array(92),
    signatureHeader,
    new Uint8Array((8 - (signatureHeader.length % 8)) % 8),
    main,
    payload,
  );
}

describe("an rpm package", () => {
  const payload = encode("the payload");
  const digest = createHash("sha256").update(payload).digest("hex");
  const main = header([number(5093, 8), strings(5092, digest)]);
  const silent = header([number(5093, 8)]);
  const ofHeader = signature(key, main);
  const ofBoth = signature(key, join(main, payload));
  const ask = async (file: Uint8Array): Promise<string> => {
    const result = await verifyRpm(file, { certificates: [trusted], times: provenAt(PROVEN) });
    return result.outcome === "good" ? "good" : result.code;
  };

  test.each([
    ["of the header (RSA tag)", [binary(268, ofHeader)]],
    ["of the header (DSA tag)", [binary(267, ofHeader)]],
    ["of header and payload", [binary(1002, ofBoth)]],
    ["of header and payload (GPG tag)", [binary(1005, ofBoth)]],
    ["in the list of rpm 4.20", [strings(278, Buffer.from(ofHeader).toString("base64"))]],
    [
      "in the list, behind a stranger's",
      [
        strings(
          278,
          Buffer.from(signature(new TestKey(), main)).toString("base64"),
          Buffer.from(ofHeader).toString("base64"),
        ),
      ],
    ],
  ])("with a signature %s is good, and altered anywhere behind it is not", async (_name, signatures) => {
    const file = rpmOf(signatures, main, payload);
    expect(await ask(file)).toBe("good");
    for (let at = file.length - payload.length - main.length; at < file.length; at++) {
      const altered = file.slice();
      altered[at] = (altered[at] ?? 0) ^ 1;
      expect(await ask(altered), `byte ${at}`).not.toBe("good");
    }
  });

  test("whose signed header does not name its payload is not good", async () => {
    expect(await ask(rpmOf([binary(268, signature(key, silent))], silent, payload))).toBe("subject-mismatch");
    expect(await ask(rpmOf([binary(268, ofHeader)], main, encode("another")))).toBe("subject-mismatch");
    const bySha1 = header([number(5093, 2), strings(5092, digest)]);
    expect(await ask(rpmOf([binary(268, signature(key, bySha1))], bySha1, payload))).toBe("subject-mismatch");
  });

  test("that is not signed is refused", async () => {
    expect(await ask(rpmOf([], main, payload))).toBe("malformed");
    expect(await ask(rpmOf([binary(1004, new Uint8Array(16))], main, payload))).toBe("malformed");
  });

  test.each([
    ["a tag twice", rpmOf([binary(268, ofHeader), binary(268, ofHeader)], main, payload)],
    ["a signature of a wrong type", rpmOf([strings(268, "a")], main, payload)],
    ["a signature outside its header", rpmOf([{ ...binary(268, ofHeader), count: 100_000 }], main, payload)],
    ["no header", rpmOf([binary(268, ofHeader)], new Uint8Array(0), payload)],
    ["another file", encode("text")],
    ["a lead only", join([0xed, 0xab, 0xee, 0xdb], new Uint8Array(92))],
    [
      "a header that claims to be large",
      join(
        [0xed, 0xab, 0xee, 0xdb],
        new Uint8Array(92),
        [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0],
        u32(0xffffffff),
        u32(0xffffffff),
      ),
    ],
  ])("with %s is refused", async (_name, file) => {
    expect(() => readRpm(file)).toThrow(expect.objectContaining({ name: "EvidenceError" }));
    expect(await ask(file)).toBe("malformed");
  });
});
