/** Signatures of every kind, made by the real gpg or by hand, good and bad: what gpgv and Assay are asked about. */
import {
  BIRTH,
  COMPROMISED,
  canonical,
  certificate,
  clearSigned,
  directSignature,
  ED25519,
  expiresAfter,
  FLAGS_CERTIFY,
  FLAGS_ENCRYPT,
  FLAGS_SIGN,
  FLAGS_SIGN_ONLY,
  join,
  keyRevocation,
  NO_REASON,
  packet,
  plainCertificate,
  RETIRED,
  RSA,
  type SignatureSpec,
  SUPERSEDED,
  signature,
  signatureBody,
  subkeyPackets,
  subkeyRevocation,
  TestKey,
  u32,
  userIdPackets,
  userIdRevocation,
  USER_ID_INVALID,
} from "../../packages/evidence/test/openpgp-builder.ts";
import type { Gpg } from "./gpg.ts";

/** Why Assay and gpgv differ: a row of the table in docs/evidence-forms.md. */
export type Reason =
  | "weak-hash"
  | "weak-key"
  | "text-around"
  | "armor-unfinished"
  | "other-packets"
  | "carriage-return"
  | "binary-clear-text"
  | "no-hash-header"
  | "dash-unescaped"
  | "other-signature"
  | "number-spelling"
  | "subkey-flags"
  | "user-id-revoked"
  | "future"
  | "version-6"
  | "proven-before"
  | "issuer-unnamed"
  | "contradiction";

export type Case = {
  name: string;
  certificates: readonly string[];
  signature: Uint8Array;
  /** Absent of a clear-signed text. */
  document?: Uint8Array;
  /** Seconds since 1970 of the proven time; absent = now, which is gpgv's; null = none. */
  proven?: number | null;
  /** Why the two may differ. */
  differs?: Reason;
};

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
export const DOCUMENT = encode("A document\nof two lines \t\r\n- and a dash\n");
const DAY = 86_400;

/** What gpg itself makes: every algorithm in every form. */
export function madeByGpg(gpg: Gpg): Case[] {
  const cases: Case[] = [];
  const add = (name: string, certificates: string[], made: Uint8Array, more: Partial<Case> = {}): void => {
    cases.push({ name, certificates, signature: made, document: DOCUMENT, ...more });
  };
  const at = BIRTH + DAY;
  for (const algorithm of ["rsa2048", "rsa4096", "ed25519", "nistp256", "nistp384", "nistp521", "brainpoolP256r1"]) {
    gpg.generate(algorithm, algorithm, BIRTH);
    const certificates = [gpg.certificate(algorithm)];
    const by = ["-u", `${algorithm}@example.org`];
    add(`${algorithm}, detached`, certificates, gpg.run([...by, "--detach-sign"], { at, input: DOCUMENT }));
    add(`${algorithm}, armoured`, certificates, gpg.run([...by, "--armor", "--detach-sign"], { at, input: DOCUMENT }));
    add(
      `${algorithm}, as a text`,
      certificates,
      gpg.run([...by, "--textmode", "--detach-sign"], { at, input: DOCUMENT }),
    );
    const clear = gpg.run([...by, "--clearsign"], { at, input: DOCUMENT });
    cases.push({ name: `${algorithm}, clear-signed`, certificates, signature: clear });
  }
  const rsa = [gpg.certificate("rsa2048")];
  const byRsa = ["-u", "rsa2048@example.org"];
  for (const hash of ["SHA1", "RIPEMD160", "SHA224", "SHA256", "SHA384", "SHA512"]) {
    const made = gpg.run([...byRsa, "--digest-algo", hash, "--detach-sign"], { at, input: DOCUMENT });
    add(`hash ${hash}`, rsa, made, hash === "SHA1" || hash === "RIPEMD160" ? { differs: "weak-hash" } : {});
  }
  for (const algorithm of ["rsa1024", "dsa2048"]) {
    gpg.generate(algorithm, algorithm, BIRTH);
    const made = gpg.run(["-u", `${algorithm}@example.org`, "--detach-sign"], { at, input: DOCUMENT });
    add(`key ${algorithm}`, [gpg.certificate(algorithm)], made, { differs: "weak-key" });
  }
  gpg.generate("other", "ed25519", BIRTH);
  const good = gpg.run([...byRsa, "--detach-sign"], { at, input: DOCUMENT });
  add("another certificate", [gpg.certificate("other")], good);
  add("two certificates", [gpg.certificate("other"), ...rsa], good);
  add("another document", rsa, good, { document: encode("Another document\n") });
  add("an empty document", rsa, good, { document: new Uint8Array(0) });
  add("empty signature file", rsa, new Uint8Array(0));
  add("signed empty document", rsa, gpg.run([...byRsa, "--detach-sign"], { at, input: new Uint8Array(0) }), {
    document: new Uint8Array(0),
  });
  add(
    "with a notation",
    rsa,
    gpg.run([...byRsa, "--set-notation", "a@example.org=b", "--detach-sign"], { at, input: DOCUMENT }),
  );
  add(
    "with a critical notation",
    rsa,
    gpg.run([...byRsa, "--set-notation", "!a@example.org=b", "--detach-sign"], { at, input: DOCUMENT }),
  );
  add(
    "with a policy address",
    rsa,
    gpg.run([...byRsa, "--set-policy-url", "!https://example.org", "--detach-sign"], { at, input: DOCUMENT }),
  );
  add(
    "a signature that expired",
    rsa,
    gpg.run([...byRsa, "--default-sig-expire", "10", "--detach-sign"], { at, input: DOCUMENT }),
  );
  add("an inline-signed message", rsa, gpg.run([...byRsa, "--sign"], { at, input: DOCUMENT }));

  // Subkeys, expired and revoked keys.
  gpg.generate("sub", "ed25519", BIRTH, { usage: "cert" });
  gpg.addSubkey("sub", "rsa2048", "sign", BIRTH);
  const bySub = gpg.run(["-u", "sub@example.org", "--detach-sign"], { at, input: DOCUMENT });
  add("a signing subkey", [gpg.certificate("sub")], bySub);
  gpg.generate("mortal", "ed25519", BIRTH, { expires: "seconds=172800" });
  const byMortal = gpg.run(["-u", "mortal@example.org", "--detach-sign"], { at, input: DOCUMENT });
  add("a key that has expired, no time proven", [gpg.certificate("mortal")], byMortal, { proven: null });
  add("a key that has expired, proven after", [gpg.certificate("mortal")], byMortal);
  add("a key that has expired, proven before", [gpg.certificate("mortal")], byMortal, {
    proven: at + 60,
    differs: "proven-before",
  });
  for (const [name, answers] of [
    ["compromised", ["revkey", "y", "1", "", "y", "save"]],
    ["superseded", ["revkey", "y", "2", "", "y", "save"]],
    ["retired", ["revkey", "y", "3", "", "y", "save"]],
    ["unexplained", ["revkey", "y", "0", "", "y", "save"]],
  ] as const) {
    gpg.generate(name, "ed25519", BIRTH);
    const made = gpg.run(["-u", `${name}@example.org`, "--detach-sign"], { at, input: DOCUMENT });
    gpg.edit(name, at + DAY, ...answers);
    const certificates = [gpg.certificate(name)];
    const soft = name === "superseded" || name === "retired";
    add(`revoked as ${name}, proven after`, certificates, made);
    add(`revoked as ${name}, proven before`, certificates, made, {
      proven: at + 60,
      ...(soft ? { differs: "proven-before" } : {}),
    });
    add(`revoked as ${name}, no time proven`, certificates, made, { proven: null });
  }
  gpg.generate("subrevoked", "ed25519", BIRTH, { usage: "cert" });
  gpg.addSubkey("subrevoked", "ed25519", "sign", BIRTH);
  const bySubrevoked = gpg.run(["-u", "subrevoked@example.org", "--detach-sign"], { at, input: DOCUMENT });
  gpg.edit("subrevoked", at + DAY, "key 1", "revkey", "y", "1", "", "y", "save");
  add("a revoked subkey", [gpg.certificate("subrevoked")], bySubrevoked);
  gpg.generate("mortalsub", "ed25519", BIRTH, { usage: "cert" });
  gpg.addSubkey("mortalsub", "ed25519", "sign", BIRTH, "seconds=172800");
  const byMortalsub = gpg.run(["-u", "mortalsub@example.org", "--detach-sign"], { at, input: DOCUMENT });
  add("an expired subkey", [gpg.certificate("mortalsub")], byMortalsub);

  // Several signatures.
  const byTwo = gpg.run([...byRsa, "-u", "ed25519@example.org", "--detach-sign"], { at, input: DOCUMENT });
  const both = [...rsa, gpg.certificate("ed25519")];
  add("two signatures, both keys", both, byTwo);
  add("two signatures, one key", rsa, byTwo, { differs: "other-signature" });
  add("two signatures, the other key", [gpg.certificate("ed25519")], byTwo, { differs: "other-signature" });
  add("two signatures, no key", [gpg.certificate("other")], byTwo);
  add("the same signature twice", rsa, join(good, good));
  const armored = (user: string): Uint8Array =>
    gpg.run(["-u", `${user}@example.org`, "--armor", "--detach-sign"], { at, input: DOCUMENT });
  add("two armoured blocks", both, join(armored("rsa2048"), armored("ed25519")));
  return cases;
}

/** What no current gpg makes, by hand. */
export function madeByHand(): Case[] {
  const cases: Case[] = [];
  const rsa = new TestKey({ algorithm: RSA });
  const key = new TestKey();
  const certificates = [plainCertificate(key)];
  const add = (name: string, made: Uint8Array | string, more: Partial<Case> = {}): void => {
    cases.push({
      name,
      certificates,
      signature: typeof made === "string" ? encode(made) : made,
      document: DOCUMENT,
      ...more,
    });
  };
  const spec = (name: string, changes: SignatureSpec, more: Partial<Case> = {}): void =>
    add(name, signature(key, DOCUMENT, changes), more);

  add("version 4 by hand", signature(key, DOCUMENT));
  add("version 3, RSA", signature(rsa, DOCUMENT, { version: 3 }), { certificates: [plainCertificate(rsa)] });
  add("version 3, RSA, another document", signature(rsa, "else", { version: 3 }), {
    certificates: [plainCertificate(rsa)],
  });
  add("version 3, as a text", signature(rsa, canonical("a\nb\n"), { version: 3, type: 1 }), {
    certificates: [plainCertificate(rsa)],
    document: encode("a\nb\n"),
  });
  add("version 3 binding of the user id", signature(rsa, DOCUMENT), {
    certificates: [certificate(rsa, userIdPackets(rsa, "Old <old@example.org>", { version: 3, type: 0x10 }))],
  });
  const six = new TestKey({ version: 6, algorithm: ED25519 });
  add("version 6", signature(six, DOCUMENT), { certificates: [plainCertificate(six)], differs: "version-6" });
  add("version 6 signature by a version 4 key", signature(key, DOCUMENT, { version: 6 }));

  // Types and subpackets.
  for (const type of [0x02, 0x10, 0x13, 0x18, 0x1f, 0x20, 0x40, 0x50]) spec(`type 0x${type.toString(16)}`, { type });
  spec("a critical subpacket that nobody knows", { hashed: [{ type: 99, body: [1], critical: true }] });
  spec("a subpacket that nobody knows", { hashed: [{ type: 99, body: [1] }] });
  spec("a critical subpacket that nobody knows, not covered", {
    unhashed: [
      { type: 16, body: key.keyId },
      { type: 99, body: [1], critical: true },
    ],
  });
  spec("created twice", { hashed: [{ type: 2, body: u32(BIRTH + 200) }] }, { differs: "contradiction" });
  spec("never created", { onlyHashed: [{ type: 33, body: join([4], key.fingerprint) }] });
  spec("created before its key", { created: BIRTH - 1000 });
  spec("created in the future", { created: Math.floor(Date.now() / 1000) + 100 * DAY }, { differs: "future" });
  spec(
    "issuer not named",
    { onlyHashed: [{ type: 2, body: u32(BIRTH + 100) }], unhashed: [] },
    { differs: "issuer-unnamed" },
  );
  spec("issuer's key id only", { onlyHashed: [{ type: 2, body: u32(BIRTH + 100) }] });
  spec("issuer's fingerprint only", { unhashed: [] });
  spec("two different issuers", { unhashed: [{ type: 16, body: rsa.keyId }] }, { differs: "contradiction" });
  spec("signature that has expired", { hashed: [{ type: 3, body: u32(DAY) }] });
  spec(
    "signature that has expired since it was proven",
    { hashed: [{ type: 3, body: u32(DAY) }] },
    { proven: BIRTH + 200, differs: "proven-before" },
  );
  spec("signature that never expires", { hashed: [{ type: 3, body: u32(0) }] });
  spec("MD5", { hash: 1 });

  // Certificates.
  const sub = new TestKey();
  const name = "Test <test@example.org>";
  const bySub = signature(sub, DOCUMENT);
  const withSub = (title: string, parts: Uint8Array, more: Partial<Case> = {}): void =>
    add(title, bySub, { certificates: [certificate(key, userIdPackets(key, name), parts)], ...more });
  withSub("subkey", subkeyPackets(key, sub));
  withSub("subkey without back signature", subkeyPackets(key, sub, { back: null }));
  withSub("subkey with a stranger's back signature", subkeyPackets(key, sub, { backBy: rsa }));
  withSub("subkey that is for encryption", subkeyPackets(key, sub, { hashed: [FLAGS_ENCRYPT] }));
  withSub("subkey without flags", subkeyPackets(key, sub, { hashed: [] }), { differs: "subkey-flags" });
  withSub("subkey without binding", packet(14, sub.body));
  withSub("subkey bound by another", join(packet(14, sub.body), subkeyPackets(rsa, sub).subarray(2 + sub.body.length)));
  withSub("subkey revoked", subkeyPackets(key, sub, {}, subkeyRevocation(key, sub, COMPROMISED, BIRTH + DAY)));
  withSub("subkey that expired", subkeyPackets(key, sub, { hashed: [FLAGS_SIGN_ONLY, expiresAfter(DAY)] }));
  withSub(
    "subkey rebound after it expired",
    join(
      subkeyPackets(key, sub, { hashed: [FLAGS_SIGN_ONLY, expiresAfter(DAY)] }),
      subkeyPackets(key, sub, { created: BIRTH + 2 * DAY }).subarray(2 + sub.body.length),
    ),
  );
  withSub(
    "subkey whose newer binding has it expire",
    join(
      subkeyPackets(key, sub),
      subkeyPackets(key, sub, { created: BIRTH + 2 * DAY, hashed: [FLAGS_SIGN_ONLY, expiresAfter(DAY)] }).subarray(
        2 + sub.body.length,
      ),
    ),
  );
  const made = signature(key, DOCUMENT);
  const own = (title: string, parts: Uint8Array[], more: Partial<Case> = {}): void =>
    add(title, made, { certificates: [certificate(key, ...parts)], ...more });
  own("primary key that only certifies", [userIdPackets(key, name, { hashed: [FLAGS_CERTIFY] })]);
  own("primary key without flags", [userIdPackets(key, name, { hashed: [] })]);
  own("primary key without user id", []);
  own("primary key with a direct signature only", [directSignature(key)]);
  own("user id certified by another", [
    join(packet(13, encode(name)), packet(2, signatureBody(rsa, key.hashed, { type: 0x13 }))),
  ]);
  own("user id revoked", [userIdPackets(key, name, {}, userIdRevocation(key, name, USER_ID_INVALID, BIRTH + DAY))], {
    differs: "user-id-revoked",
  });
  own("one of two user ids revoked", [
    userIdPackets(key, name, {}, userIdRevocation(key, name, NO_REASON, BIRTH + DAY)),
    userIdPackets(key, "Second <second@example.org>"),
  ]);
  own("expired", [userIdPackets(key, name, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] })]);
  own("prolonged", [
    join(
      userIdPackets(key, name, { hashed: [FLAGS_SIGN, expiresAfter(DAY)] }),
      userIdPackets(key, name, { created: BIRTH + DAY }).subarray(2 + encode(name).length),
    ),
  ]);
  for (const [what, code] of [
    ["no reason", NO_REASON],
    ["compromised", COMPROMISED],
    ["superseded", SUPERSEDED],
    ["retired", RETIRED],
    ["no subpacket", null],
  ] as const) {
    own(`revoked: ${what}`, [keyRevocation(key, code, BIRTH + DAY), userIdPackets(key, name)]);
  }
  own("revoked by SHA-1, Ed25519", [
    keyRevocation(key, SUPERSEDED, BIRTH + DAY, { hash: 2 }),
    userIdPackets(key, name),
  ]);
  own("revocation by another key", [
    packet(2, signatureBody(rsa, key.hashed, { type: 0x20 })),
    userIdPackets(key, name),
  ]);
  own("user id certified by SHA-1, Ed25519", [userIdPackets(key, name, { hash: 2 })], { differs: "weak-hash" });
  add("user id certified by SHA-1, RSA", signature(rsa, DOCUMENT), {
    certificates: [certificate(rsa, userIdPackets(rsa, name, { hash: 2 }))],
  });
  add("revoked by SHA-1, RSA", signature(rsa, DOCUMENT), {
    certificates: [
      certificate(rsa, keyRevocation(rsa, SUPERSEDED, BIRTH + DAY, { hash: 2 }), userIdPackets(rsa, name)),
    ],
  });

  // Packets and their spelling.
  add("old packet format", join([0x88, made.length - 2], made.subarray(2)));
  add("longer length than needed", join([0xc2, 0xff], u32(made.length - 2), made.subarray(2)));
  add("marker before", join(packet(10, encode("PGP")), made), { differs: "other-packets" });
  add("cut short", made.subarray(0, made.length - 1));
  add("bytes behind", join(made, [0]));
  add("text behind", join(made, encode("text")));
  add("two signatures, one of another document", join(made, signature(key, "else")), { differs: "other-signature" });
  add("two signatures, the first of another document", join(signature(key, "else"), made), {
    differs: "other-signature",
  });
  return [...cases, ...clearTexts(key, certificates), ...texts(key, certificates)];
}

function texts(key: TestKey, certificates: string[]): Case[] {
  const cases: Case[] = [];
  for (const [name, text, differs] of [
    ["line feeds", "a\nb\n"],
    ["carriage returns and line feeds", "a\r\nb\r\n"],
    ["no last line ending", "a\nb"],
    ["blanks at line ends", "a \nb\t\n"],
    ["two carriage returns", "a\r\r\nb\n"],
    ["a carriage return in a line", "a\rb\n", "carriage-return"],
    ["a carriage return at the end", "a\nb\r"],
  ] as [string, string, Reason?][]) {
    const made = signature(key, canonical(text), { type: 1 });
    cases.push({
      name: `text with ${name}`,
      certificates,
      signature: made,
      document: encode(text),
      ...(differs ? { differs } : {}),
    });
  }
  const other = signature(key, canonical("a\nb\n"), { type: 1 });
  cases.push({
    name: "text, other line endings than signed",
    certificates,
    signature: other,
    document: encode("a\r\nb\n"),
  });
  cases.push({ name: "text with a blank more", certificates, signature: other, document: encode("a \nb\n") });
  return cases;
}

function clearTexts(key: TestKey, certificates: string[]): Case[] {
  const text = "Hello\n- a list\n-----BEGIN something\n\nFrom here\n";
  const cases: Case[] = [];
  const add = (name: string, made: string, differs?: Reason): void => {
    cases.push({
      name: `clear-signed: ${name}`,
      certificates,
      signature: encode(made),
      ...(differs ? { differs } : {}),
    });
  };
  const good = clearSigned(key, text);
  add("good", good);
  add("carriage returns", good.replaceAll("\n", "\r\n"));
  add("blanks added at line ends", good.replace("Hello\n", "Hello \t\n"));
  add("altered", good.replace("Hello", "Hallo"));
  add("a line more", good.replace("Hello\n", "Hello\nmore\n"));
  add("a line less", good.replace("Hello\n", ""));
  add("an empty line at the end", good.replace("From here\n", "From here\n\n"));
  add("text before", `Before\n${good}`, "text-around");
  add("text behind", `${good}Behind\n`, "text-around");
  add("blank lines around", `\n\n${good}\n\n`);
  add("no hash header", clearSigned(key, text, { headers: "" }), "no-hash-header");
  add("another hash header", clearSigned(key, text, { headers: "Hash: SHA512\n" }));
  add("several hash headers", clearSigned(key, text, { headers: "Hash: SHA512\nHash: SHA256\n" }));
  add("several hashes in one header", clearSigned(key, text, { headers: "Hash: SHA512, SHA256\n" }));
  add("another header", clearSigned(key, text, { headers: "Hash: SHA256\nComment: evil\n" }));
  add("a header that looks like text", good.replace("Hash: SHA256\n", "Hash: SHA256\nPay: 1000\n"));
  add("not escaped", clearSigned(key, text, { written: text }));
  add("not escaped, no head", clearSigned(key, "a\n-b\n", { written: "a\n-b\n" }), "dash-unescaped");
  add("escaped where it need not be", clearSigned(key, "a\nb\n", { written: "- a\nb\n" }));
  add("signed as bytes", clearSigned(key, text, { type: 0 }), "binary-clear-text");
  add("two texts", good + good);
  add("carriage return in a line", clearSigned(key, "a\rb\n"), "carriage-return");
  add("an empty text", clearSigned(key, "\n"));
  add("no checksum", good.replace(/\n=[^\n]+\n/, "\n"));
  add("a wrong checksum", good.replace(/\n=[^\n]+\n/, "\n=AAAA\n"));
  add("no end", good.replace("-----END PGP SIGNATURE-----\n", ""), "armor-unfinished");
  add("no signature", good.slice(0, good.indexOf("-----BEGIN PGP SIGNATURE")));
  return cases;
}
