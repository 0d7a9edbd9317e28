/** Certificates for signing, from an authority of an organisation's own, and what is signed with them. */
import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { IN_TOTO_PAYLOAD_TYPE, pae, toBase64, utf8Encode } from "@assay/evidence";
import { generate } from "selfsigned";

export type Authority = { readonly cert: string; readonly key: string };
/** A certificate for signing with its key. */
export type Certified = { readonly der: Uint8Array; readonly key: string };

const TERMS = { keyType: "ec", curve: "P-256", algorithm: "sha256" } as const;
const HOUR_MS = 3_600_000;

/** A root of its own, PEM, and its key. */
export async function makeRoot(name: string): Promise<Authority> {
  const made = await generate([{ name: "commonName", value: name }], {
    ...TERMS,
    notBeforeDate: new Date(Date.now() - 24 * HOUR_MS),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { cert: made.cert, key: made.private };
}

/** A certificate of the authority for one URI, valid for the hours around now, over a new key. */
export async function certify(authority: Authority, uri: string): Promise<Certified> {
  const made = await generate([{ name: "organizationName", value: "Acme" }], {
    ...TERMS,
    ca: { cert: authority.cert, key: authority.key },
    notBeforeDate: new Date(Date.now() - HOUR_MS),
    notAfterDate: new Date(Date.now() + HOUR_MS),
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", codeSigning: true },
      { name: "subjectAltName", altNames: [{ type: 6, value: uri }] },
    ],
  });
  return { der: new Uint8Array(new X509Certificate(made.cert).raw), key: made.private };
}

/** A Sigstore bundle of a statement's bytes, signed with a certificate. */
export function certifiedBundle({ der, key }: Certified, payload: Uint8Array): Uint8Array {
  const signature = sign("sha256", pae(IN_TOTO_PAYLOAD_TYPE, payload), createPrivateKey(key));
  return utf8Encode(
    JSON.stringify({
      mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
      verificationMaterial: { certificate: { rawBytes: toBase64(der) } },
      dsseEnvelope: {
        payload: toBase64(payload),
        payloadType: IN_TOTO_PAYLOAD_TYPE,
        signatures: [{ sig: toBase64(new Uint8Array(signature)) }],
      },
    }),
  );
}
