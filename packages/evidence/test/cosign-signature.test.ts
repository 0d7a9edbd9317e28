/** cosign 2's forms: the document that names an image, layers with annotations, signature files. Good and damaged, in reading and in verdicts. */
import { describe, expect, test } from "vitest";
import { formatBlobSignature, readBlobSignature, readLocalBundle, readSignatureFile } from "../src/blob-signature.ts";
import { formatCosignSignature, readCosignSignature } from "../src/cosign.ts";
import {
  canonicalJson,
  type Digest,
  digestHex,
  EvidenceError,
  parseDigest,
  parseJson,
  parseStatement,
  toBase64,
  toHex,
  utf8Decode,
  utf8Encode,
} from "../src/index.ts";
import { parseSimpleSigning, SIMPLE_SIGNING_PREDICATE } from "../src/simple-signing.ts";
import { code } from "./failure.ts";
import { artifactOf, entryFor, keyOf, outcomeOf, PREDICATE_TYPE, payloadAbout, sha256Of, trustIn } from "./virtual.ts";
import { bodies, PAYLOAD_TYPE, rekor1, sha256, stamp, trustRoot } from "./virtual-sigstore.ts";
import { NOW } from "./virtual-ca.ts";
import { pae } from "../src/dsse.ts";

const key = keyOf("build");
const { digest: image } = artifactOf("an image's manifest");
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE = "application/vnd.dsse.envelope.v1+json";

const document = (digest: string = image, changes: object = {}): Uint8Array =>
  utf8Encode(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": "registry.example.com/acme/app" },
        image: { "docker-manifest-digest": digest },
        type: "cosign container image signature",
      },
      optional: null,
      ...changes,
    }),
  );

function layer(payload: Uint8Array, annotations: Record<string, string> = {}, signer = key): Uint8Array {
  const signature = toBase64(signer.sign(payload));
  return formatCosignSignature({
    mediaType: SIMPLE,
    bytes: payload,
    annotations: { "dev.cosignproject.cosign/signature": signature, ...annotations },
  });
}

const parsedCosign = (bytes: Uint8Array): unknown => readCosignSignature(parseJson(bytes), bytes);

describe("the document that names an image", () => {
  test("gives the digest, the name as claimed, and all of it as predicate", () => {
    const { digest, reference, predicate } = parseSimpleSigning(document(image, { optional: { "build.id": "7" } }));
    expect([digest, reference]).toEqual([image, "registry.example.com/acme/app"]);
    expect(predicate["optional"]).toEqual({ "build.id": "7" });
  });

  test.each<[string, Uint8Array]>([
    ["a digest in capitals", document(`sha256:${digestHex(image).toUpperCase()}`)],
    ["another algorithm's digest", document(`sha512:${"0".repeat(128)}`)],
    ["no digest", document("")],
    ["the optional part as a text", document(image, { optional: "yes" })],
    ["a member it does not know", document(image, { extra: 1 })],
    ["no critical part", utf8Encode('{"optional":null}')],
    ["another type", utf8Encode(utf8Decode(document()).replace("cosign container", "atomic container"))],
    [
      "something more that is critical",
      utf8Encode(utf8Decode(document()).replace('"identity"', '"policy":1,"identity"')),
    ],
    [
      "a digest said twice",
      utf8Encode(
        utf8Decode(document()).replace(
          '"docker-manifest-digest"',
          '"docker-manifest-digest":"","docker-manifest-digest"',
        ),
      ),
    ],
    ["a byte order mark", Uint8Array.of(0xef, 0xbb, 0xbf, ...document())],
    ["an array", utf8Encode("[]")],
  ])("is refused with %s", async (_, payload) => {
    expect(() => parseSimpleSigning(payload)).toThrow(EvidenceError);
    expect(await outcomeOf(layer(payload), image, trustIn(entryFor(key)))).toBe("malformed");
  });

  test("is nothing that a statement can claim to be", () => {
    const statement = utf8Encode(utf8Decode(payloadAbout(image)).replace(PREDICATE_TYPE, SIMPLE_SIGNING_PREDICATE));
    expect(() => parseStatement(statement)).toThrow(code("statement-invalid"));
  });
});

describe("a layer with its annotations", () => {
  test("verifies for the image it names, by the key that signed it, and for no other", async () => {
    const trust = trustIn(entryFor(key));
    expect(await outcomeOf(layer(document()), image, trust)).toBe("verified");
    expect(await outcomeOf(layer(document()), sha256Of("another"), trust)).toBe("subject-mismatch");
    expect(await outcomeOf(layer(document(), {}, keyOf("other")), image, trust)).toBe("unknown-signer");
    // The signature of another document.
    const moved = { "dev.cosignproject.cosign/signature": toBase64(key.sign(document(sha256Of("another")))) };
    expect(await outcomeOf(layer(document(), moved), image, trust)).toBe("unknown-signer");
  });

  test("is trusted for its own type of evidence only", async () => {
    const scoped = (type: string) =>
      trustIn(entryFor(key, { scope: { repositories: ["**"], predicateTypes: [type] } }));
    expect(await outcomeOf(layer(document()), image, scoped(SIMPLE_SIGNING_PREDICATE))).toBe("verified");
    expect(await outcomeOf(layer(document()), image, scoped("https://slsa.dev/provenance/v1"))).toBe("out-of-scope");
  });

  test("has one container, whatever stands beside it in the registry", () => {
    const plain = layer(document());
    const signature = String((JSON.parse(utf8Decode(plain)) as { signature: string }).signature);
    const annotations = {
      "org.example/note": "x",
      "dev.sigstore.cosign/certificate": "",
      "dev.cosignproject.cosign/signature": signature,
    };
    expect(formatCosignSignature({ mediaType: SIMPLE, bytes: document(), annotations })).toEqual(plain);
    const spaced = utf8Encode(JSON.stringify(JSON.parse(utf8Decode(plain)), null, 1));
    expect(() => parsedCosign(spaced)).toThrow(code("bundle-invalid"));
  });

  test.each<[string, object]>([
    ["neither payload nor envelope", { signature: "AAAA" }],
    ["both", { payload: "AAAA", envelope: "AAAA", signature: "AAAA" }],
    ["no signature", { payload: "AAAA" }],
    ["an empty signature", { payload: "AAAA", signature: "" }],
    ["a chain and no certificate", { payload: "AAAA", signature: "AAAA", chain: "x" }],
    ["a certificate that is none", { payload: "AAAA", signature: "AAAA", certificate: "x" }],
    ["a log entry that is none", { payload: "AAAA", signature: "AAAA", bundle: "{}" }],
    ["a timestamp that is none", { payload: "AAAA", signature: "AAAA", rfc3161timestamp: "[]" }],
    ["a member it does not know", { payload: "AAAA", signature: "AAAA", extra: "" }],
    ["a signature beside an envelope", { envelope: toBase64(utf8Encode("{}")), signature: "AAAA" }],
  ])("is refused with %s", (_, members) => {
    const container = { mediaType: "application/vnd.assay.cosign-signature.v1+json", ...members };
    expect(() => parsedCosign(utf8Encode(canonicalJson(container as never)))).toThrow(code("bundle-invalid"));
  });

  test("of another type is not cosign's", () => {
    const made = (): unknown => formatCosignSignature({ mediaType: "text/spdx", bytes: document(), annotations: {} });
    expect(made).toThrow(code("bundle-unsupported"));
  });
});

describe("an envelope kept as a layer", () => {
  const payload = payloadAbout(image);
  const signature = key.sign(pae(PAYLOAD_TYPE, payload));
  const bytes = utf8Encode(
    JSON.stringify({
      payloadType: PAYLOAD_TYPE,
      payload: toBase64(payload),
      signatures: [{ keyid: "", sig: toBase64(signature) }],
    }),
  );
  const attested = (annotations: Record<string, string>): Uint8Array =>
    formatCosignSignature({ mediaType: ENVELOPE, bytes, annotations });
  const windowed = entryFor(key, { validFrom: NOW - 1_000, validUntil: NOW + 1_000 });
  const trust = { ...trustIn(windowed), roots: [trustRoot()] };

  test("is dated by a timestamp over its file, cosign 2's way, or over its signature, cosign 3's, and over nothing else", async () => {
    const stamped = (what: Uint8Array): Record<string, string> => ({
      "dev.sigstore.cosign/rfc3161timestamp": JSON.stringify({ SignedRFC3161Timestamp: toBase64(stamp(what)) }),
    });
    expect(await outcomeOf(attested(stamped(bytes)), image, trust)).toBe("verified");
    expect(await outcomeOf(attested(stamped(signature)), image, trust)).toBe("verified");
    expect(await outcomeOf(attested(stamped(payload)), image, trust)).toBe("time-unproven");
    expect(await outcomeOf(attested({}), image, trust)).toBe("time-unproven");
  });

  test("is dated by the log's oldest kind, which names the file's digest and no signature", async () => {
    const pem = `-----BEGIN PUBLIC KEY-----\n${toBase64(key.publicKey.spki)}\n-----END PUBLIC KEY-----\n`;
    const body = (file: Uint8Array, publicKey = pem) => ({
      apiVersion: "0.0.1",
      kind: "intoto",
      spec: {
        content: { hash: { algorithm: "sha256", value: toHex(sha256(file)) } },
        publicKey: toBase64(utf8Encode(publicKey)),
      },
    });
    const logged = (of: Parameters<typeof rekor1.add>[0]): Record<string, string> => {
      const entry = rekor1.add(of) as {
        canonicalizedBody: string;
        logIndex: string;
        inclusionPromise: { signedEntryTimestamp: string };
      };
      const Payload = {
        body: entry.canonicalizedBody,
        integratedTime: NOW / 1000,
        logIndex: Number(entry.logIndex),
        logID: toHex(rekor1.logId),
      };
      const SignedEntryTimestamp = entry.inclusionPromise.signedEntryTimestamp;
      return { "dev.sigstore.cosign/bundle": JSON.stringify({ SignedEntryTimestamp, Payload }) };
    };
    expect(await outcomeOf(attested(logged(body(bytes))), image, trust)).toBe("verified");
    expect(await outcomeOf(attested(logged(body(payload))), image, trust)).toBe("time-unproven");
    const other = pem.replace(toBase64(key.publicKey.spki), toBase64(keyOf("other").publicKey.spki));
    expect(await outcomeOf(attested(logged(body(bytes, other))), image, trust)).toBe("time-unproven");
    // The same in a bundle, where the file is not kept: nothing says which signature it was.
    const dsse = bodies["dsse 0.0.1"]({ signer: { key, certificate: undefined }, signature, payload });
    expect(await outcomeOf(attested(logged(dsse)), image, trust)).toBe("verified");
  });
});

describe("a signature file", () => {
  const { bytes: file, digest: subject } = artifactOf("a file\n");
  const signature = key.sign(file);

  test("is read in base64, with or without a final newline, and raw", () => {
    const text = toBase64(signature);
    for (const form of [utf8Encode(text), utf8Encode(`${text}\n`), utf8Encode(`${text}\r\n`), signature]) {
      expect(readSignatureFile(form)).toEqual(signature);
    }
  });

  test("is refused empty, too long, and in base64 that is spelled otherwise", () => {
    expect(() => readSignatureFile(new Uint8Array(0))).toThrow(code("bundle-invalid"));
    expect(() => readSignatureFile(new Uint8Array(600))).toThrow(code("too-large"));
    expect(() => readSignatureFile(new Uint8Array(1_000_000))).toThrow(code("too-large"));
    expect(() => readSignatureFile(utf8Encode("AAAAA"))).toThrow(code("bundle-invalid"));
  });

  test("verifies for its file and its key, and says so also without the bytes", async () => {
    const container = formatBlobSignature({ subject, signature });
    const trust = trustIn(entryFor(key));
    expect(await outcomeOf(container, subject, trust)).toBe("verified");
    expect(await outcomeOf(container, subject, trust, { artifactBytes: file })).toBe("verified");
    expect(await outcomeOf(container, sha256Of("another"), trust)).toBe("subject-mismatch");
    expect(
      await outcomeOf(formatBlobSignature({ subject: sha256Of("another"), signature }), sha256Of("another"), trust),
    ).toBe("unknown-signer");
  });

  test("whose container is altered in any member is refused", () => {
    const good = JSON.parse(utf8Decode(formatBlobSignature({ subject, signature }))) as Record<string, string>;
    const altered: Record<string, unknown>[] = [
      { ...good, subject: digestHex(subject as Digest) },
      { ...good, subject: 7 },
      { ...good, signature: "" },
      { ...good, signature: "A" },
      { ...good, certificate: "x" },
      { ...good, bundle: "x" },
      { ...good, extra: "x" },
      { mediaType: good["mediaType"], subject: good["subject"] },
    ];
    for (const json of altered) {
      const bytes = utf8Encode(canonicalJson(json as never));
      expect(() => readBlobSignature(parseJson(bytes), bytes)).toThrow(EvidenceError);
    }
  });

  test("in cosign 2's JSON gives its parts", () => {
    const json = { base64Signature: toBase64(signature), cert: "", rekorBundle: null };
    expect(readLocalBundle(utf8Encode(JSON.stringify(json)))).toEqual({ signature });
    expect(() => readLocalBundle(utf8Encode('{"base64Signature":"AAAA","x":1}'))).toThrow(code("bundle-invalid"));
    expect(parseDigest(subject)).toBe(subject);
  });
});
