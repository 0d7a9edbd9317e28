/**
 * `node fuzz/write-seeds.ts`: makes seeds.json anew. What stands in it are good documents of which the fixtures have no example, made once and
 * kept: their keys are drawn at random, and a run that cannot be repeated finds nothing that can be mended.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { nodeCrypto } from "../packages/evidence/node/index.ts";
import {
  canonicalJson,
  certificateKeyId,
  cosignatureLine,
  cosignedBytes,
  encodeEntries,
  formatBlobSignature,
  formatCheckpoint,
  formatCosignSignature,
  formatNote,
  formatOpenPgpSignature,
  formatTrustFile,
  formatVkey,
  inclusionProof,
  leafHash,
  type NodeAt,
  nodeHash,
  NOTE_COSIGNATURE_ED25519,
  noteKey,
  noteSignatureLine,
  noteSignedBytes,
  parseCertificate,
  recordCommitment,
  rootHash,
  toBase64,
  toHex,
  utf8Encode,
} from "../packages/evidence/src/index.ts";
import {
  bundleBytes,
  bundleJson,
  certificate as keyless,
  trustRoot,
} from "../packages/evidence/test/virtual-sigstore.ts";
import { openPgp } from "../packages/evidence/openpgp/index.ts";
import {
  armor,
  certificate,
  clearSigned,
  ED25519,
  directSignature,
  join,
  keyRevocation,
  packet,
  plainCertificate,
  RETIRED,
  RSA,
  signature,
  subkeyPackets,
  TestKey,
  u32,
  userIdPackets,
} from "../packages/evidence/test/openpgp-builder.ts";
import { artifactOf, entryFor, keyOf, statementBundle, trustIn } from "../packages/evidence/test/virtual.ts";

const seeds: Record<string, Uint8Array> = {};
const keep = (name: string, bytes: Uint8Array | string): void => {
  seeds[name] = typeof bytes === "string" ? utf8Encode(bytes) : bytes;
};

// OpenPGP. The document is the one of packages/evidence/test/openpgp-asking.ts.
const document = "A document\nof two lines\n";
const key = new TestKey();
const six = new TestKey({ version: 6, algorithm: ED25519 });
const rsa = new TestKey({ algorithm: RSA });
const subkey = new TestKey();
keep("openpgp/certificate", plainCertificate(key));
keep("openpgp/certificate.v6", plainCertificate(six));
keep("openpgp/certificate.rsa", plainCertificate(rsa));
keep(
  "openpgp/certificate.subkey",
  certificate(key, userIdPackets(key, "Test <test@example.org>"), subkeyPackets(key, subkey)),
);
keep(
  "openpgp/certificate.revoked",
  certificate(key, keyRevocation(key, RETIRED, key.created + 500), directSignature(key), userIdPackets(key, "A")),
);
keep("openpgp/signature", signature(key, document));
keep("openpgp/signature.v6", signature(six, document));
keep("openpgp/signature.v3", signature(rsa, document, { version: 3 }));
keep("openpgp/signature.subkey", signature(subkey, document));
keep("openpgp/armored", armor("SIGNATURE", signature(key, document), { checksum: false }));
keep("openpgp/clear-signed", clearSigned(key, "a\n- b\nlast  \n"));

// Files that carry OpenPGP signatures.
const head =
  "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.org> 1700000000 +0000\ncommitter A <a@example.org> 1700000000 +0000\n";
const message = "\nA commit\n";
const armored = armor("SIGNATURE", signature(key, head + message));
keep("git/commit", `${head}gpgsig ${armored.trimEnd().replaceAll("\n", "\n ")}\n${message}`);
const tag = `object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype commit\ntag v1\ntagger A <a@example.org> 1700000000 +0000\n\nA tag\n`;
keep("git/tag", tag + armor("SIGNATURE", signature(key, tag)));
type Field = { tag: number; type: number; count: number; data: Uint8Array };
function rpmHeader(fields: readonly Field[]): Uint8Array {
  let offset = 0;
  const index = fields.map(({ tag: id, type, count, data }) => {
    const row = join(u32(id), u32(type), u32(offset), u32(count));
    offset += data.length;
    return row;
  });
  return join(
    [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0],
    u32(fields.length),
    u32(offset),
    ...index,
    ...fields.map(({ data }) => data),
  );
}
const payload = utf8Encode("the payload");
const payloadDigest = utf8Encode(`${createHash("sha256").update(payload).digest("hex")}\0`);
const main = rpmHeader([
  { tag: 5093, type: 4, count: 1, data: u32(8) },
  { tag: 5092, type: 8, count: 1, data: payloadDigest },
]);
const ofHeader = signature(key, main);
const ofBoth = signature(key, join(main, payload));
const signatures = rpmHeader([
  { tag: 268, type: 7, count: ofHeader.length, data: ofHeader },
  { tag: 1002, type: 7, count: ofBoth.length, data: ofBoth },
]);
const padding = new Uint8Array((8 - (signatures.length % 8)) % 8);
keep("rpm", join([0xed, 0xab, 0xee, 0xdb], new Uint8Array(92), signatures, padding, main, payload));

// Logs: an event with its receipt, whose checkpoint a witness cosigned, and the policy that asks for it.
const raw = (name: string): Uint8Array => keyOf(name, "ed25519").publicKey.spki.slice(-32);
const logKey = noteKey("assay.example/record", 1, raw("log"));
const witnessKey = noteKey("witness.example", NOTE_COSIGNATURE_ED25519, raw("witness"));
const event = utf8Encode(
  canonicalJson({
    actor: "a",
    body: { n: 1 },
    org: "acme",
    orgSeq: 1,
    prev: "ab".repeat(32),
    time: 1,
    type: "t",
    v: 1,
  }),
);
const salt = new Uint8Array(32).fill(7);
const commitments = [0, 1, 2, 3, 4].map((n) =>
  n === 3 ? recordCommitment(nodeCrypto, salt, event) : new Uint8Array(32).fill(n),
);
const nodeAt: NodeAt = (level, index) =>
  level === 0
    ? leafHash(nodeCrypto, commitments[index] ?? new Uint8Array())
    : nodeHash(nodeCrypto, nodeAt(level - 1, 2 * index), nodeAt(level - 1, 2 * index + 1));
const checkpoint = formatCheckpoint({
  origin: "assay.example/record",
  size: 5,
  root: rootHash(nodeCrypto, 5, nodeAt),
  extensions: [],
});
const note = formatNote(checkpoint, [
  noteSignatureLine(logKey, keyOf("log", "ed25519").sign(noteSignedBytes(checkpoint))),
  cosignatureLine(
    witnessKey,
    1_700_000_000,
    keyOf("witness", "ed25519").sign(cosignedBytes(1_700_000_000, checkpoint)),
  ),
]);
const logVkey = formatVkey("assay.example/record", 1, raw("log"));
const witnessVkey = formatVkey("witness.example", NOTE_COSIGNATURE_ED25519, raw("witness"));
keep("log/event", event);
keep("log/note", note);
keep("log/vkeys", `${logVkey}\n${witnessVkey}`);
keep("log/policy", `log ${logVkey}\nwitness w ${witnessVkey}\ngroup g any w\nquorum g\n`);
keep(
  "log/receipt",
  canonicalJson({
    sequence: 3,
    salt: toBase64(salt),
    event: toBase64(event),
    commitment: toHex(commitments[3] ?? new Uint8Array()),
    size: 5,
    proof: inclusionProof(nodeCrypto, 3, 5, nodeAt).map(toHex),
    checkpoint: note,
  }),
);
keep("log/entries", encodeEntries(commitments));

// Bundles of every kind of log entry and material, containers of our own, and a trust file that trusts every kind of signer.
const { digest, bytes } = artifactOf();
const holder = keyless();
const statement = utf8Encode(
  canonicalJson({
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "a", digest: { sha256: digest.slice(7) } }],
    predicateType: "https://example.com/p",
    predicate: { a: [1] },
  }),
);
keep("bundle/key", await statementBundle(keyOf("build"), digest));
const v1 = bundleJson({ version: "0.2", statement, holder, entries: ["dsse 0.0.1", "intoto 0.0.2"] });
const v2 = bundleJson({ statement, holder, entries: ["dsse 0.0.2"] });
keep("bundle/certificate.v1", bundleBytes(v1));
keep("bundle/certificate.v2", bundleBytes(v2));
keep("bundle/message.v1", bundleBytes(bundleJson({ message: bytes, holder, entries: ["hashedrekord 0.0.1"] })));
keep("bundle/message.v2", bundleBytes(bundleJson({ message: bytes, holder, entries: ["hashedrekord 0.0.2"] })));
keep("bundle/envelope", JSON.stringify(v2.dsseEnvelope));
keep("bundle/statement", statement);
const simple = utf8Encode(
  canonicalJson({
    critical: {
      identity: { "docker-reference": "example.com/acme/app" },
      image: { "docker-manifest-digest": digest },
      type: "cosign container image signature",
    },
    optional: null,
  }),
);
keep(
  "bundle/cosign",
  formatCosignSignature({
    mediaType: "application/vnd.dev.cosign.simplesigning.v1+json",
    bytes: simple,
    annotations: { "dev.cosignproject.cosign/signature": toBase64(keyOf("build").sign(simple)) },
  }),
);
keep("bundle/blob", formatBlobSignature({ subject: digest, signature: keyOf("build").sign(bytes) }));
keep("bundle/openpgp", formatOpenPgpSignature({ subject: digest, signature: signature(key, document) }));
const identity = {
  root: "virtual",
  issuer: "https://issuer.example.com",
  subject: { kind: "pattern", value: "https://**" },
} as const;
const terms = {
  scope: { repositories: ["**"], predicateTypes: ["*"] },
  validFrom: null,
  validUntil: null,
  primary: false,
};
const armoredKey = plainCertificate(key);
keep(
  "trust/file",
  formatTrustFile({
    ...trustIn(
      entryFor(keyOf("build"), { validFrom: 1_700_000_000_000 }),
      { ...terms, ...identity, kind: "certificate", id: "c", name: "c", keyId: certificateKeyId(identity) },
      {
        ...terms,
        kind: "openpgp",
        id: "o",
        name: "o",
        certificate: armoredKey,
        keyId: openPgp.readCertificate(armoredKey).fingerprint,
      },
    ),
    logs: [logVkey],
    roots: [trustRoot()],
  }),
);
// The list in a certificate, without the extension around it.
keep("certificate/leaf", holder.der);
keep("certificate/sct-list", parseCertificate(holder.der).sctList ?? new Uint8Array());
keep("openpgp/packets", join(packet(6, key.body), userIdPackets(key, "A"), signature(key, document)));

writeFileSync(
  new URL("seeds.json", import.meta.url),
  `${JSON.stringify(Object.fromEntries(Object.entries(seeds).map(([name, value]) => [name, toBase64(value)])), null, 2)}\n`,
);
