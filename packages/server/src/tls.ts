import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { generate } from "selfsigned";
import { isMissing, makeDurableDirectory, writeDurable } from "./storage/durable.ts";

/** A self-signed certificate lives this long, days; it is made anew when less than a tenth is left. */
const LIFETIME_DAYS = 365;
const RENEW_BEFORE_MS = (LIFETIME_DAYS / 10) * 86_400_000;

/** The kept certificate, when it is still good for this host. */
async function kept(directory: string, host: string): Promise<{ cert: string; key: string } | undefined> {
  let cert: string;
  let key: string;
  try {
    cert = await readFile(join(directory, "cert.pem"), "utf8");
    key = await readFile(join(directory, "key.pem"), "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const parsed = new X509Certificate(cert);
  // A crash between the two files leaves the new key beside the former certificate.
  const paired = parsed.checkPrivateKey(createPrivateKey(key));
  const fits = isIP(host) === 0 ? parsed.checkHost(host) !== undefined : parsed.checkIP(host) !== undefined;
  return paired && fits && Date.parse(parsed.validTo) - Date.now() > RENEW_BEFORE_MS ? { cert, key } : undefined;
}

/**
 * A self-signed certificate for trying things out, kept in the data directory so that clients can be told to trust it
 * (`SSL_CERT_FILE`). For real use, put a certificate of your own in ASSAY_TLS_CERT and ASSAY_TLS_KEY.
 */
export async function selfSignedCertificate(directory: string, host: string): Promise<{ cert: string; key: string }> {
  const found = await kept(directory, host);
  if (found !== undefined) return found;
  const names = [
    { type: 2 as const, value: "localhost" },
    { type: 7 as const, ip: "127.0.0.1" },
    { type: 7 as const, ip: "::1" },
  ];
  const own = isIP(host) === 0 ? { type: 2 as const, value: host } : { type: 7 as const, ip: host };
  const made = await generate([{ name: "commonName", value: host }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    notAfterDate: new Date(Date.now() + LIFETIME_DAYS * 86_400_000),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", digitalSignature: true, keyCertSign: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: [...names, own] },
    ],
  });
  await makeDurableDirectory(directory);
  await writeDurable(join(directory, "key.pem"), made.private);
  await writeDurable(join(directory, "cert.pem"), made.cert, 0o644);
  return { cert: made.cert, key: made.private };
}
