/**
 * A certificate transparency log on this machine that signs what it is given and keeps nothing (RFC 6962 §4.2, add-pre-chain): real signed
 * certificate timestamps, and no tree.
 */
import { createHash, createSign, generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DerReader, derValue, TAG_OID, TAG_SEQUENCE } from "../../packages/evidence/src/der.ts";
import { concatBytes, equalBytes, fromHex } from "../../packages/evidence/src/encoding.ts";

export type CtLog = {
  url: string;
  /** DER SubjectPublicKeyInfo of its P-256 key. */
  publicKey: Uint8Array;
  stop(): Promise<void>;
};

export async function startCtLog(): Promise<CtLog> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { chain } = JSON.parse(Buffer.concat(parts).toString()) as { chain: string[] };
      const [precertificate, issuer] = chain.map((der) => Buffer.from(der, "base64"));
      if (precertificate === undefined || issuer === undefined) {
        response.writeHead(400).end();
        return;
      }
      const timestamp = Date.now();
      const signature = createSign("sha256")
        .update(signedEntry(precertificate, issuer, timestamp))
        .sign(privateKey);
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({
          sct_version: 0,
          id: createHash("sha256").update(spki).digest("base64"),
          timestamp,
          extensions: "",
          // DigitallySigned: SHA-256, ECDSA, length, signature.
          signature: Buffer.from(concatBytes(Uint8Array.of(4, 3), uint(signature.length, 2), signature)).toString(
            "base64",
          ),
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/test`,
    publicKey: spki,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** RFC 6962 §3.2: what a log signs about a precertificate: its issuer's key, and its TBSCertificate without the poison. */
function signedEntry(precertificate: Uint8Array, issuer: Uint8Array, timestamp: number): Uint8Array {
  const tbs = withoutPoison(tbsOf(precertificate));
  const issuerKeyHash = createHash("sha256")
    .update(spkiOf(tbsOf(issuer)))
    .digest();
  return concatBytes(
    Uint8Array.of(0, 0),
    uint(timestamp, 8),
    uint(1, 2),
    issuerKeyHash,
    uint(tbs.length, 3),
    tbs,
    uint(0, 2),
  );
}

function uint(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);
}

const POISON = fromHex("2b06010401d679020403");
const TAG_EXTENSIONS = 0xa3;

type Value = { tag: number; body: Uint8Array; whole: Uint8Array };

/** The values that stand one after another. */
function values(bytes: Uint8Array): Value[] {
  const found: Value[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] ?? 0;
    const body = new DerReader(bytes.subarray(at)).read(tag);
    const whole = derValue(tag, body);
    found.push({ tag, body, whole });
    at += whole.length;
  }
  return found;
}

function tbsOf(certificate: Uint8Array): Value[] {
  return values(values(new DerReader(certificate).read(TAG_SEQUENCE))[0]?.body ?? new Uint8Array(0));
}

/** The seventh member of a TBSCertificate with a version: SubjectPublicKeyInfo (RFC 5280 §4.1). */
function spkiOf(tbs: Value[]): Uint8Array {
  return tbs[6]?.whole ?? new Uint8Array(0);
}

function withoutPoison(tbs: Value[]): Uint8Array {
  const members = tbs.map(({ tag, body, whole }) => {
    if (tag !== TAG_EXTENSIONS) return whole;
    const kept = values(new DerReader(body).read(TAG_SEQUENCE)).filter(
      (extension) => !equalBytes(new DerReader(extension.body).read(TAG_OID), POISON),
    );
    return derValue(TAG_EXTENSIONS, derValue(TAG_SEQUENCE, ...kept.map(({ whole: extension }) => extension)));
  });
  return derValue(TAG_SEQUENCE, ...members);
}
