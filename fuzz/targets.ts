/**
 * What is fuzzed: every parser of bytes from outside, in groups that share a run. A parser may fail by its typed errors only; what only
 * judges (`verify…`) gives a verdict whatever it is given.
 */
import { readFileSync } from "node:fs";
import { nodeCrypto } from "../packages/evidence/node/index.ts";
import { openPgp, readGitObject, readRpm, verifyRpm } from "../packages/evidence/openpgp/index.ts";
import { readPackets } from "../packages/evidence/openpgp/packets.ts";
import { readSignaturePacket } from "../packages/evidence/openpgp/signature-packet.ts";
import { parseCbor } from "../packages/evidence/src/cbor.ts";
import { parseSignedData } from "../packages/evidence/src/cms.ts";
import { entryOfRekorBundle } from "../packages/evidence/src/rekor-bundle.ts";
import { parseSimpleSigning } from "../packages/evidence/src/simple-signing.ts";
import { readSignerBinding } from "../packages/evidence/src/timestamp-signer.ts";
import { requireAbout } from "../packages/evidence/src/tlog-body.ts";
import { parseLogEntry } from "../packages/evidence/src/tlog-entry.ts";
import {
  canonicalJson,
  certificateKeyId,
  decodeEntries,
  type Digest,
  digestOf,
  EvidenceError,
  formatTrustFile,
  fromBase64,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  openNote,
  openWitnessed,
  parseBundle,
  parseCertificate,
  parseCertificatesPem,
  parseCheckpoint,
  parseClearSigned,
  parseEnvelope,
  parseEvent,
  parseJson,
  parseNotation,
  parseNote,
  parsePublicKeyPem,
  parseReceipt,
  parseSctList,
  parseSpki,
  parseStatement,
  parseTimestamp,
  parseTlogPolicy,
  parseTrustedRoot,
  parseTrustFile,
  parseVkey,
  readArmorBlocks,
  readEvidence,
  readLocalBundle,
  readSignatureFile,
  recogniseOpenPgp,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
  verify,
  verifyReceipt,
  verifyTimestamp,
  x509Root,
} from "../packages/evidence/src/index.ts";
import { fixture, fixtureBytes } from "../packages/evidence/test/fixtures.ts";
import { parsePolicy } from "../packages/policy/src/index.ts";
import { evidenceLines, streamedLines } from "../packages/server/src/attestations/lines.ts";
import { readLine } from "../packages/server/src/attestations/reading.ts";
import { GENERIC, type Mutation } from "./mutations.ts";
import { inBase64, inCbor, inDer, inJson, inPackets } from "./structure.ts";

/** One parser: what it is given to begin with, and how that is damaged. */
export type Parser = {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** Damage that knows the format; generic damage is done to all. */
  readonly structural: readonly Mutation[];
  /** Words of the format, which no random change would spell. */
  readonly tokens: readonly Uint8Array[];
  readonly run: (bytes: Uint8Array) => unknown;
};

const made = JSON.parse(readFileSync(new URL("seeds.json", import.meta.url), "utf8")) as Record<string, string>;
function seed(name: string): Uint8Array {
  const text = made[name];
  if (text === undefined) throw new Error(`there is no seed ${name}`);
  return fromBase64(text);
}
const seedText = (name: string): string => utf8Decode(seed(name));
const words = (text: string): Uint8Array[] => text.split(" ").map(utf8Encode);
const text =
  (read: (value: string) => unknown) =>
  (bytes: Uint8Array): unknown =>
    read(new TextDecoder().decode(bytes));

const generic: Mutation = (bytes, random) => random.of(GENERIC)(bytes, random);
const der = inDer(generic);
const packets = inPackets(generic);
const IN_DER = [der, der];
const IN_JSON = [inJson, inJson, inBase64(der), inBase64(inJson), inBase64(generic)];
const IN_PEM = [inBase64(der)];
const IN_ARMOR = [inBase64(packets), inBase64(packets)];
const parser = (
  name: string,
  seeds: readonly Uint8Array[],
  structural: readonly Mutation[],
  tokens: readonly Uint8Array[],
  run: Parser["run"],
): Parser => ({ name, seeds, structural, tokens, run });

// Seeds
const bundles = [
  ...["sign-blob.p256", "attest-blob.ed25519"].map((name) => fixtureBytes(`${name}.bundle`)),
  ...["cosign3-sign-blob", "cosign3-attest-blob-key", "sigstore-python-sign", "cosign2-attest", "cosign2-sign"].map(
    (name) => fixtureBytes(`sigstore/${name}.bundle`),
  ),
  ...[
    "key",
    "certificate.v1",
    "certificate.v2",
    "message.v1",
    "message.v2",
    "envelope",
    "cosign",
    "blob",
    "openpgp",
  ].map((name) => seed(`bundle/${name}`)),
];
const notation = ["p256.jws", "stamped.jws", "p256.cose", "stamped.cose"].map((name) =>
  fixtureBytes(`notation/${name}`),
);
const [jws, cose] = [notation.slice(0, 2), notation.slice(2)];
const tokensOfTime = ["response.tsr", "token.tst", "response-sha512.tsr"].map((name) =>
  fixtureBytes(`timestamp/${name}`),
);
const SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47";
const bindings = tokensOfTime.map(
  (token) => parseTimestamp(token).signed.signer.attributes.get(SIGNING_CERTIFICATE) ?? new Uint8Array(),
);
const signatures = ["signature", "signature.v6", "signature.v3", "signature.subkey"].map((name) =>
  seed(`openpgp/${name}`),
);
const certificates = ["", ".v6", ".rsa", ".subkey", ".revoked"].map((name) => seed(`openpgp/certificate${name}`));
const clearSigned = seed("openpgp/clear-signed");
const armored = seed("openpgp/armored");
const simpleSigning = fromBase64((JSON.parse(seedText("bundle/cosign")) as { payload: string }).payload);

// Dictionaries
const JSON_TOKENS = words(
  '{ } [ ] : , "" "\\u0000" "\\ud800" \\u005f 1e999 -0 0.1e1 true null \ufeff {"a":1,"a":2} "__proto__":{}',
);
const BUNDLE_TOKENS = [
  ...JSON_TOKENS,
  ...words(
    '"mediaType": "verificationMaterial":{} "dsseEnvelope":{} "messageSignature":{} "tlogEntries":[] "certificate":{} "payloadType":"" "signatures":[]',
  ),
];
const DER_TOKENS = [
  "3000",
  "0500",
  "020100",
  "0101ff",
  "0603551d13",
  "300a06082a8648ce3d040302",
  "180f32303236303630313132303030305a",
  "a003020102",
].map((hex) => Buffer.from(hex, "hex"));
const PGP_TOKENS = [
  ...words("-----BEGIN -----END PGP SIGNATURE----- \n- \n\n Hash:\x20SHA256\n =AAAA\n"),
  ...["c20488", "05020000", "021b03", "8901", "0f010000"].map((hex) => Buffer.from(hex, "hex")),
];
const NOTE_TOKENS = words(
  "\n \n\n \u2014\x20 + == log\x20 witness\x20 group\x20 quorum\x20 any all none 0 -1 01 18446744073709551616 \u0000 \t \r\n",
);
const YAML_TOKENS = words(
  "\n \n\x20\x20 - ? : & &a *a <<:\x20*a ! !!binary %YAML --- ... | > |+9 >- # {} [] [ { , \" ' \\x00 .inf 0x1F 0o7 1e9 null ~ rules: evidence: identities: \ufeff \u0085 \u2028 \t",
);

// Whom to trust, so that verification goes as far as it can.
const artifact = digestOf(nodeCrypto, utf8Encode("the artifact"));
const trust: TrustVersion = parseTrustFile(seed("trust/file"));
const stack = parseTrustedRoot(fixtureBytes("sigstore/trusted_root.json"), "stack");
const notary = x509Root("acme", [fixture("notation/root.pem")], [fixture("notation/tsa-root.pem")]);
const anybody = [stack, notary].map((root) => {
  const meant = { root: root.name, issuer: null, subject: { kind: "pattern", value: "**" } } as const;
  const terms = {
    scope: { repositories: ["**"], predicateTypes: ["*"] },
    validFrom: null,
    validUntil: null,
    primary: false,
  };
  return {
    ...meant,
    ...terms,
    kind: "certificate",
    id: root.name,
    name: root.name,
    keyId: certificateKeyId(meant),
  } as const;
});
const believing: TrustVersion = {
  ...trust,
  entries: [...trust.entries, ...anybody.filter(({ root }) => root === "acme")],
  roots: [...trust.roots, stack, notary],
};
const times = [
  { source: "received-here", time: Date.parse("2026-06-01T12:00:00Z"), evidence: "the fuzzer's word" },
] as const;
const now = Date.parse("2026-12-01");

/** A verdict, and never an exception; and no evidence that names another artifact is verified for this one. */
async function judge(bytes: Uint8Array, about: Digest = artifact): Promise<void> {
  const verdict = await verify(nodeCrypto, {
    bundle: bytes,
    artifact: about,
    trust: believing,
    times,
    now,
    openpgp: openPgp,
  });
  if (verdict.status === "refused" && verdict.steps.length === 0)
    throw new Error("refused without a step that says why");
}

/** What is accepted is what every other reader of JSON sees, and is written again in one form. */
function readJson(bytes: Uint8Array): void {
  const value = parseJson(bytes);
  const theirs = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)) as JsonValue;
  let written: string;
  try {
    written = canonicalJson(value);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "json-uncanonical") return;
    throw error;
  }
  if (written !== canonicalJson(theirs)) throw new Error("JSON.parse reads something else");
  if (canonicalJson(parseJson(written)) !== written) throw new Error("the canonical form is read as something else");
}

function object(bytes: Uint8Array): JsonObject {
  const json = parseJson(bytes);
  return isJsonObject(json) ? json : {};
}

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Both readers of lines find the same lines, however the bytes arrive; each line is evidence or is refused. */
async function readLines(bytes: Uint8Array): Promise<void> {
  const most = 20_000;
  const whole = [...evidenceLines(bytes)];
  const streamed: (Uint8Array | undefined)[] = [];
  for await (const line of streamedLines(chunks(bytes, 1 + (bytes.length % 997)), most)) streamed.push(line.bytes);
  const isSame = streamed.every(
    (line, i) => line === undefined || Buffer.compare(line, whole[i] ?? new Uint8Array()) === 0,
  );
  if (!isSame && streamed.every((line) => line !== undefined)) throw new Error("the readers of lines disagree");
  let failure: EvidenceError | undefined;
  for (const line of whole.slice(0, 8)) {
    try {
      readLine(line);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

const logKeys = seedText("log/vkeys").split("\n").map(parseVkey);
const witnessed = parseTlogPolicy(seed("log/policy"));
const rekorEntries = bundles.flatMap((bytes) => {
  const { verificationMaterial } = JSON.parse(utf8Decode(bytes)) as {
    verificationMaterial?: { tlogEntries?: unknown[] };
  };
  return (verificationMaterial?.tlogEntries ?? []).map((entry) => utf8Encode(JSON.stringify(entry)));
});
const leaf = parseCertificate(seed("certificate/leaf"));
/** A signature that stands in the log in two ways, and the bodies that say so. */
const inLog = parseBundle(seed("bundle/certificate.v1"));
const logged = { content: inLog.content, layer: undefined, verifier: parseCertificate(seed("certificate/leaf")) };
const loggedBodies = inLog.tlogEntries.map((entry) => parseLogEntry(entry).body);
/** cosign 2's signature of a file, in our container and as cosign wrote it. */
const container = JSON.parse(fixture("sigstore/cosign2-sign-blob-bundle.bundle")) as {
  bundle: string;
  signature: string;
  certificate: string;
};
const local = utf8Encode(
  JSON.stringify({
    base64Signature: container.signature,
    cert: Buffer.from(container.certificate).toString("base64"),
    rekorBundle: JSON.parse(container.bundle) as unknown,
  }),
);
const POLICY = `version: 1
name: production
description: what may run
rules:
  - id: signed
    evidence:
      predicateType: https://sigstore.dev/cosign/sign/v1
      identities: [release-key, "openpgp:0123456789012345678901234567890123456789"]
      atLeast: 1
      maximumAge: 30d
  - id: tested
    tests: { identities: [ci] }
`;

export type Groups = Readonly<Record<string, readonly Parser[]>>;

export const GROUPS: Groups = {
  json: [
    parser("parseJson", [...bundles.slice(0, 3), seed("bundle/statement")], [inJson], JSON_TOKENS, readJson),
    parser("parseStatement", [seed("bundle/statement")], [inJson, inJson], JSON_TOKENS, parseStatement),
    parser("parseEnvelope", [seed("bundle/envelope")], IN_JSON, BUNDLE_TOKENS, (bytes) => parseEnvelope(object(bytes))),
    parser("parseSimpleSigning", [simpleSigning], [inJson, inJson], JSON_TOKENS, parseSimpleSigning),
    parser(
      "readLines",
      [Buffer.concat(bundles.slice(0, 3).flatMap((bytes) => [bytes, utf8Encode("\r\n\n")]))],
      [],
      words("\n \r \u0085 \u2028 \u0000 {}\n"),
      readLines,
    ),
  ],
  bundle: [
    parser("parseBundle", [...bundles.slice(0, 5), ...bundles.slice(7, 12)], IN_JSON, BUNDLE_TOKENS, parseBundle),
    parser("readEvidence", bundles, IN_JSON, BUNDLE_TOKENS, (bytes) => readEvidence(nodeCrypto, bytes)),
    parser("verify", bundles, IN_JSON, BUNDLE_TOKENS, (bytes) => judge(bytes)),
    parser("readSignatureFile", [utf8Encode(container.signature)], [inBase64(der)], [], readSignatureFile),
    parser("readLocalBundle", [local], IN_JSON, BUNDLE_TOKENS, readLocalBundle),
  ],
  der: [
    parser("parseCertificate", [leaf.der, ...notaryCertificates()], IN_DER, DER_TOKENS, parseCertificate),
    parser(
      "parseCertificatesPem",
      [utf8Encode(fixture("public-good.leaf.pem"))],
      IN_PEM,
      [],
      text(parseCertificatesPem),
    ),
    parser(
      "parsePublicKeyPem",
      ["cosign", "ed25519", "p384", "p521", "rsa"].map((name) => fixtureBytes(`${name}.pub`)),
      IN_PEM,
      [],
      text(parsePublicKeyPem),
    ),
    parser("parseSpki", [leaf.publicKey.spki], IN_DER, DER_TOKENS, parseSpki),
    parser("parseSctList", [seed("certificate/sct-list")], [], [], parseSctList),
  ],
  timestamp: [
    parser("parseSignedData", [fixtureBytes("timestamp/token.tst")], IN_DER, DER_TOKENS, parseSignedData),
    parser("parseTimestamp", tokensOfTime, IN_DER, DER_TOKENS, parseTimestamp),
    parser("readSignerBinding", bindings, IN_DER, DER_TOKENS, (bytes) =>
      readSignerBinding(new Map([[SIGNING_CERTIFICATE, bytes]])),
    ),
    parser("verifyTimestamp", tokensOfTime, IN_DER, DER_TOKENS, (bytes) =>
      verifyTimestamp(nodeCrypto, bytes, {
        message: fixtureBytes("artifact.txt"),
        authorities: notary.timestampAuthorities,
      }),
    ),
  ],
  openpgp: [
    parser("readPackets", [seed("openpgp/packets"), ...signatures], [packets, packets], PGP_TOKENS, (bytes) =>
      readPackets(bytes, 16),
    ),
    parser(
      "readSignaturePacket",
      signatures.map((bytes) => bytes.subarray(bytes[1] === undefined || bytes[1] < 192 ? 2 : 3)),
      [],
      PGP_TOKENS,
      readSignaturePacket,
    ),
    parser(
      "readCertificate",
      certificates,
      IN_ARMOR,
      PGP_TOKENS,
      text((armored) => openPgp.readCertificate(armored)),
    ),
    parser("readArmorBlocks", [armored], IN_ARMOR, PGP_TOKENS, (bytes) => readArmorBlocks(bytes, "SIGNATURE")),
    parser("parseClearSigned", [clearSigned], IN_ARMOR, PGP_TOKENS, parseClearSigned),
    parser("recogniseOpenPgp", [clearSigned, armored, ...signatures], [], PGP_TOKENS, recogniseOpenPgp),
    parser("verify signature", [armored, ...signatures], [packets, packets, inBase64(packets)], PGP_TOKENS, (bytes) =>
      openPgp.verify({
        signature: bytes,
        document: utf8Encode("A document\nof two lines\n"),
        certificates: certificates.slice(0, 4).map(utf8Decode),
        times,
      }),
    ),
    parser("verify clear-signed", [clearSigned], IN_ARMOR, PGP_TOKENS, (bytes) =>
      openPgp.verify({
        signature: bytes,
        document: new Uint8Array(),
        certificates: certificates.slice(0, 1).map(utf8Decode),
        times,
      }),
    ),
    parser("verify certificate", certificates, IN_ARMOR, PGP_TOKENS, (bytes) =>
      openPgp.verify({
        signature: signatures[0] ?? new Uint8Array(),
        document: utf8Encode("A document\nof two lines\n"),
        certificates: [new TextDecoder().decode(bytes)],
        times,
      }),
    ),
  ],
  "openpgp-files": [
    parser("readRpm", [seed("rpm")], [], [], readRpm),
    parser("verifyRpm", [seed("rpm")], [], [], (bytes) =>
      verifyRpm(bytes, { certificates: certificates.slice(0, 1).map(utf8Decode), times }),
    ),
    parser(
      "git commit",
      [seed("git/commit")],
      [inBase64(packets)],
      words("\ngpgsig\x20 \n\x20 \nmergetag\x20 \n\n"),
      (bytes) => readGitObject("commit", bytes),
    ),
    parser("git tag", [seed("git/tag")], [inBase64(packets)], PGP_TOKENS, (bytes) => readGitObject("tag", bytes)),
  ],
  notation: [
    parser("parseCbor", cose, [inCbor(generic), inCbor(generic)], [], parseCbor),
    parser("parseNotation COSE", cose, [inCbor(generic), inCbor(generic)], [], parseNotation),
    parser("parseNotation JWS", jws, IN_JSON, JSON_TOKENS, parseNotation),
    parser("verify", notation, [inCbor(generic), ...IN_JSON], [], (bytes) =>
      judge(bytes, digestOf(nodeCrypto, fixtureBytes("notation/manifest.oci"))),
    ),
  ],
  log: [
    parser("parseNote", [seed("log/note")], [inBase64(generic)], NOTE_TOKENS, text(parseNote)),
    parser(
      "openNote",
      [seed("log/note")],
      [inBase64(generic)],
      NOTE_TOKENS,
      text((note) => openNote(nodeCrypto, note, logKeys)),
    ),
    parser(
      "openWitnessed",
      [seed("log/note")],
      [inBase64(generic)],
      NOTE_TOKENS,
      text((note) => openWitnessed(nodeCrypto, note, witnessed)),
    ),
    parser(
      "parseCheckpoint",
      [utf8Encode(seedText("log/note").split("\n\n")[0] + "\n")],
      [inBase64(generic)],
      NOTE_TOKENS,
      text(parseCheckpoint),
    ),
    parser(
      "parseVkey",
      [utf8Encode(seedText("log/vkeys").split("\n")[0] ?? "")],
      [inBase64(generic)],
      NOTE_TOKENS,
      text(parseVkey),
    ),
    parser("parseTlogPolicy", [seed("log/policy")], [inBase64(generic)], NOTE_TOKENS, parseTlogPolicy),
    parser("parseReceipt", [seed("log/receipt")], IN_JSON, JSON_TOKENS, (bytes) => parseReceipt(parseJson(bytes))),
    parser("verifyReceipt", [seed("log/receipt")], IN_JSON, JSON_TOKENS, (bytes) =>
      verifyReceipt(nodeCrypto, parseReceipt(parseJson(bytes)), logKeys),
    ),
    parser("parseEvent", [seed("log/event")], [inJson, inJson], JSON_TOKENS, parseEvent),
    parser("decodeEntries", [seed("log/entries")], [], [], decodeEntries),
    parser("parseLogEntry", rekorEntries, IN_JSON, JSON_TOKENS, (bytes) => parseLogEntry(object(bytes))),
    parser("requireAbout", loggedBodies, IN_JSON, JSON_TOKENS, (bytes) => requireAbout(bytes, logged)),
    parser("entryOfRekorBundle", [utf8Encode(container.bundle)], IN_JSON, JSON_TOKENS, text(entryOfRekorBundle)),
  ],
  "trust-and-policy": [
    parser("parseTrustFile", [seed("trust/file")], IN_JSON, JSON_TOKENS, (bytes) => {
      const written = formatTrustFile(parseTrustFile(bytes));
      if (Buffer.compare(written, formatTrustFile(parseTrustFile(written))) !== 0)
        throw new Error("a trust file is not read as it is written");
    }),
    parser(
      "parseTrustedRoot",
      ["public-good.trusted_root.json", "sigstore/trusted_root.json"].map(fixtureBytes),
      IN_JSON,
      JSON_TOKENS,
      (bytes) => parseTrustedRoot(bytes, "root"),
    ),
    parser(
      "parsePolicy",
      [
        utf8Encode(POLICY),
        utf8Encode(JSON.stringify({ version: 1, name: "x", rules: [{ id: "a", tests: { identities: ["ci"] } }] })),
      ],
      [inJson],
      YAML_TOKENS,
      text(parsePolicy),
    ),
  ],
};

/** Certificates of the Notary Project fixtures, as DER. */
function notaryCertificates(): Uint8Array[] {
  return parseNotation(fixtureBytes("notation/stamped.cose")).certificates.map((der) => der.slice());
}
