import { generate } from "selfsigned";

/** A certificate authority, PEM. */
export async function makeAuthority(name: string): Promise<string> {
  const { cert } = await generate([{ name: "commonName", value: name }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return cert;
}
