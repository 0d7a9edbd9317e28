/** Clear-signed texts: what is signed of them, and everything that only looks as if it were. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalClearText, isClearSigned, parseClearSigned } from "../src/index.ts";
import { inChunks, verdict } from "./openpgp-asking.ts";
import { armor, clearSigned, plainCertificate, signature, TestKey } from "./openpgp-builder.ts";

const key = new TestKey();
const trusted = plainCertificate(key);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const TEXT = "Hello\n- a list\n-----BEGIN something\n\nFrom here\n";
const own = { document: new Uint8Array(0) };

describe("a clear-signed text", () => {
  test("is its own document, or stands beside exactly the text in it", async () => {
    const made = clearSigned(key, TEXT);
    expect(await verdict(made, trusted, own)).toBe("good");
    expect(await verdict(made, trusted, { document: encode(TEXT) })).toBe("good");
    expect(await verdict(made, trusted, { document: inChunks(encode(TEXT), 3) })).toBe("good");
    for (const other of [
      `${TEXT}\n`,
      TEXT.slice(0, -1),
      TEXT.replace("H", "h"),
      TEXT.replaceAll("\n", "\r\n"),
      "Hello",
    ]) {
      expect(await verdict(made, trusted, { document: encode(other) })).toBe("subject-mismatch");
    }
  });

  test("gives its text with escapes undone", () => {
    const { text, hashes } = parseClearSigned(encode(clearSigned(key, TEXT)));
    expect(new TextDecoder().decode(text)).toBe(TEXT);
    expect(hashes).toEqual(["SHA256"]);
    expect(isClearSigned(encode(clearSigned(key, TEXT)))).toBe(true);
    expect(isClearSigned(encode(armor("SIGNATURE", signature(key, "a"))))).toBe(false);
  });

  test.each([
    ["carriage returns", clearSigned(key, TEXT).replaceAll("\n", "\r\n")],
    ["blanks at line ends", clearSigned(key, TEXT).replace("Hello\n", "Hello \t\n")],
    ["blank lines around it", `\n\n${clearSigned(key, TEXT)}\n \n`],
    ["no hash header", clearSigned(key, TEXT, { headers: "" })],
    ["the hash among others", clearSigned(key, TEXT, { headers: "Hash: SHA512, SHA256\nHash: SHA384\n" })],
    ["an escape where none is needed", clearSigned(key, "a\nb\n", { written: "- a\nb\n" })],
    ["an empty text", clearSigned(key, "\n")],
  ])("is good with %s", async (_name, text) => {
    expect(await verdict(text, trusted, own)).toBe("good");
  });

  test.each([
    ["text before it", `Pay 1000\n${clearSigned(key, TEXT)}`],
    ["text behind it", `${clearSigned(key, TEXT)}Pay 1000\n`],
    ["a second text", clearSigned(key, TEXT) + clearSigned(key, TEXT)],
    ["another header", clearSigned(key, TEXT, { headers: "Hash: SHA256\nComment: Pay 1000\n" })],
    ["a header before the hash", clearSigned(key, TEXT, { headers: "Pay: 1000\nHash: SHA256\n" })],
    ["text in place of headers", clearSigned(key, TEXT, { headers: "Pay 1000\n" })],
    ["hidden text in a header", clearSigned(key, TEXT, { headers: "Hash: SHA256\rPay 1000\n" })],
    ["another hash announced", clearSigned(key, TEXT, { headers: "Hash: SHA512\n" })],
    ["a dash that is not escaped", clearSigned(key, "a\n-b\n", { written: "a\n-b\n" })],
    ["a boundary that is not escaped", clearSigned(key, TEXT, { written: TEXT })],
    ["a signature of bytes", clearSigned(key, TEXT, { type: 0 })],
    ["a carriage return in a line", clearSigned(key, "a\rb\n")],
    ["no signature", clearSigned(key, TEXT).split("-----BEGIN PGP SIGNATURE")[0] ?? ""],
    ["no end", clearSigned(key, TEXT).replace("-----END PGP SIGNATURE-----", "")],
    ["an empty signature", `-----BEGIN PGP SIGNED MESSAGE-----\n\na\n${armor("SIGNATURE", new Uint8Array(0))}`],
    ["no text", "-----BEGIN PGP SIGNED MESSAGE-----\n"],
    ["a certificate in place of its signature", `-----BEGIN PGP SIGNED MESSAGE-----\n\na\n${trusted}`],
  ])("with %s is malformed", async (_name, text) => {
    expect(await verdict(text, trusted, own)).toBe("malformed");
  });

  test.each([
    ["a letter altered", (text: string) => text.replace("Hello", "Hallo")],
    ["a line more", (text: string) => text.replace("Hello\n", "Hello\nmore\n")],
    ["a line less", (text: string) => text.replace("Hello\n", "")],
    ["an empty line more at its end", (text: string) => text.replace("From here\n", "From here\n\n")],
    ["a blank at a line's beginning", (text: string) => text.replace("Hello\n", " Hello\n")],
    ["an escape undone twice", (text: string) => text.replace("- - a", "- a")],
  ])("with %s is another text", async (_name, alter) => {
    expect(await verdict(alter(clearSigned(key, TEXT)), trusted, own)).toBe("signature-invalid");
  });

  test("larger than the limit is refused before it is looked at", async () => {
    const made = clearSigned(key, "a".repeat(5 * 1024 * 1024));
    expect(await verdict(made, trusted, own)).toBe("malformed");
  });
});

test("a text without carriage returns inside lines is signed and read back as it is", async () => {
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replaceAll(/[\r\n]/g, ""));
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 6 }), async (lines) => {
      const text = `${lines.join("\n")}\n`;
      const made = encode(clearSigned(key, text));
      expect(new TextDecoder().decode(parseClearSigned(made).text)).toBe(text);
      expect(await verdict(made, trusted, own)).toBe("good");
    }),
    { numRuns: 50 },
  );
});

test("the signed form has no blanks at line ends, CR LF between lines and none behind the last", () => {
  const canonical = (text: string): string => new TextDecoder().decode(canonicalClearText(encode(text)));
  expect(canonical("a \t\nb\r\n\n c \n")).toBe("a\r\nb\r\n\r\n c");
  expect(canonical("a")).toBe("a");
  expect(canonical("\n")).toBe("");
  expect(canonical("a\n\n")).toBe("a\r\n");
});
