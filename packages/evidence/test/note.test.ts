import { describe, expect, test } from "vitest";
import { nodeCrypto as crypto } from "../node/index.ts";
import {
  type Checkpoint,
  formatCheckpoint,
  formatNote,
  formatVkey,
  type NoteKey,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  openNote,
  parseCheckpoint,
  parseNote,
  parseVkey,
} from "../src/index.ts";
import { code } from "./failure.ts";
import { keyOf } from "./virtual.ts";

const rawKey = (name: string): Uint8Array => keyOf(name, "ed25519").publicKey.spki.slice(-32);
const noteKeyOf = (name: string): NoteKey => noteKey(name, 1, rawKey(name));
const signLine = (name: string, text: string): string =>
  noteSignatureLine(noteKeyOf(name), keyOf(name, "ed25519").sign(noteSignedBytes(text)));

describe("the example of the Go implementation", () => {
  // golang.org/x/mod/sumdb/note: the example in its package documentation.
  const vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
  const note =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n" +
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

  test("opens", async () => {
    const opened = await openNote(crypto, note, [parseVkey(vkey)]);
    expect(opened.text).toMatch(/^If you think .* is\.\n$/s);
    expect(opened.verifiedBy.map((key) => key.name)).toEqual(["PeterNeumann"]);
  });

  test("its key is read and written", () => {
    const key = parseVkey(vkey);
    expect(formatVkey(key.name, key.algorithm, key.publicKey)).toBe(vkey);
  });

  test("no letter of it can be changed", async () => {
    await expect(openNote(crypto, note.replace("think", "thing"), [parseVkey(vkey)])).rejects.toThrow(
      code("note-signature-invalid"),
    );
  });
});

describe("opening a note", () => {
  const text = "log.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

  test("names each trusted key that signed, once, and ignores the others", async () => {
    const note = formatNote(text, [signLine("a", text), signLine("b", text), signLine("a", text), signLine("c", text)]);
    const opened = await openNote(crypto, note, [noteKeyOf("a"), noteKeyOf("c"), noteKeyOf("d")]);
    expect(opened.verifiedBy.map((key) => key.name)).toEqual(["a", "c"]);
  });

  test("refuses a note that no trusted key signed", async () => {
    const note = formatNote(text, [signLine("a", text)]);
    await expect(openNote(crypto, note, [noteKeyOf("b")])).rejects.toThrow(code("note-unverified"));
    await expect(openNote(crypto, note, [])).rejects.toThrow(code("note-unverified"));
  });

  test("refuses a wrong signature by a trusted key, however many others are right", async () => {
    const note = formatNote(text, [signLine("a", text), noteSignatureLine(noteKeyOf("b"), new Uint8Array(64))]);
    await expect(openNote(crypto, note, [noteKeyOf("a"), noteKeyOf("b")])).rejects.toThrow(
      code("note-signature-invalid"),
    );
    await expect(openNote(crypto, note, [noteKeyOf("a")])).resolves.toBeDefined();
  });

  test("does not take a signature under another name", async () => {
    const signature = keyOf("a", "ed25519").sign(noteSignedBytes(text));
    const other = noteKey("other", 1, rawKey("a"));
    const note = formatNote(text, [noteSignatureLine(other, signature)]);
    await expect(openNote(crypto, note, [noteKeyOf("a")])).rejects.toThrow(code("note-unverified"));
  });

  test("accepts 100 signatures and refuses 101", async () => {
    const line = signLine("a", text);
    await expect(openNote(crypto, formatNote(text, Array(100).fill(line)), [noteKeyOf("a")])).resolves.toBeDefined();
    expect(() => formatNote(text, Array(101).fill(line))).toThrow(code("too-large"));
  });
});

describe("the form of a note", () => {
  const line = signLine("a", "x\n");
  test.each([
    ["no signatures", "x\n\n"],
    ["no blank line", `x\n${line}\n`],
    ["no final newline", `x\n\n${line}`],
    ["nothing", ""],
    ["a carriage return", `x\r\n\n${line}\n`],
    ["a control character", `x\u0001\n\n${line}\n`],
    ["a wrong dash", `x\n\n- a AAAAAAAA\n`],
    ["no base64", "x\n\n\u2014 a !!!!\n"],
    ["a short signature", "x\n\n\u2014 a AAAAAA==\n"],
    ["a plus in the name", "x\n\n\u2014 a+b AAAAAAAA\n"],
    ["text after the signature", `x\n\n${line} z\n`],
    ["unpadded base64", "x\n\n\u2014 a AAAAAAA\n"],
    ["a lone surrogate", `\ud800\n\n${line}\n`],
  ])("refuses %s", (_, note) => {
    expect(() => parseNote(note)).toThrow(code("note-invalid"));
  });

  test("the text may hold blank lines itself", () => {
    expect(parseNote(`x\n\ny\n\n${line}\n`).text).toBe("x\n\ny\n");
  });

  test.each([
    "",
    "a",
    "a+00000000+AQ==",
    `a+00000000+${Buffer.concat([Buffer.of(1), rawKey("a")]).toString("base64")}`,
    formatVkey("a", 1, rawKey("a")).replace("a+", "b+"),
    ` ${formatVkey("a", 1, rawKey("a"))}`,
  ])("refuses the vkey %j", (text) => {
    expect(() => parseVkey(text)).toThrow(code("note-key-invalid"));
  });

  test("refuses names that would not survive, and small-order keys", () => {
    for (const name of ["", "a b", "a+b", "a\u00a0b", "a\nb"])
      expect(() => noteKey(name, 1, rawKey("a"))).toThrow(code("note-key-invalid"));
    expect(() => noteKey("a", 1, new Uint8Array(32))).toThrow(code("note-key-invalid"));
  });
});

describe("checkpoints", () => {
  const root = crypto.sha256(new Uint8Array(0));
  const checkpoint: Checkpoint = { origin: "log.example/record", size: 2 ** 40, root, extensions: [] };

  test("are written as three lines and read back", () => {
    const text = formatCheckpoint(checkpoint);
    expect(text).toBe("log.example/record\n1099511627776\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    expect(parseCheckpoint(text)).toEqual(checkpoint);
    const extended = { ...checkpoint, extensions: ["first", "second"] };
    expect(parseCheckpoint(formatCheckpoint(extended))).toEqual(extended);
  });

  const good = formatCheckpoint(checkpoint);
  test.each([
    ["no final newline", good.slice(0, -1)],
    ["no origin", `\n1\n${good.split("\n")[2]}\n`],
    ["a leading zero", good.replace("1099", "01099")],
    ["a negative size", good.replace("1099", "-1099")],
    ["a size beyond 2^53", good.replace("1099511627776", "9007199254740992")],
    ["a short root", "a\n1\nAAAA\n"],
    ["a blank extension line", `${good}\n`],
    ["no root", "a\n1\n"],
    ["unpadded base64", good.replace("=", "")],
    ["a plus sign", good.replace("\n1099", "\n+1099")],
  ])("with %s are refused", (_, text) => {
    expect(() => parseCheckpoint(text)).toThrow(code("checkpoint-invalid"));
  });

  test("that could not be read back are not written", () => {
    for (const changes of [
      { origin: "" },
      { origin: "a\nb" },
      { size: -1 },
      { size: 2 ** 53 },
      { root: new Uint8Array(3) },
      { extensions: [""] },
    ]) {
      expect(() => formatCheckpoint({ ...checkpoint, ...changes })).toThrow(code("checkpoint-invalid"));
    }
  });
});
