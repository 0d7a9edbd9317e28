import { EvidenceError } from "./errors.ts";
import { type NoProof, noProof, passed, type Proof, type ProofRequest } from "./proof.ts";
import type { OpenPgpPort } from "./openpgp-port.ts";
import type { OpenPgpEntry, TrustVersion } from "./trust.ts";

/** An OpenPGP signature as it came: detached, about an artifact's bytes, or inside the text that it signs. */
export type OpenPgpSigned = {
  /** The signature packets, armoured or not; or the whole clear-signed text. */
  readonly signature: Uint8Array;
  /** Whether the signature carries its own document. */
  readonly isClearSigned: boolean;
};

/** Who made an OpenPGP signature over the artifact's bytes: one of the trusted certificates' keys, or none. */
export async function proveOpenPgp(signed: OpenPgpSigned, request: ProofRequest): Promise<Proof | NoProof> {
  const { openpgp, trust, artifactBytes, artifactHashes, times } = request;
  if (openpgp === undefined) {
    return noProof("unsupported", "OpenPGP signatures are not evaluated here.", "signature");
  }
  const entries = trust.entries.filter((entry) => entry.kind === "openpgp");
  if (entries.length === 0) return noProof("unknown-signer", "No OpenPGP certificate is trusted.", "signer");
  const certificates = certificatesOf(openpgp, trust);
  // INVARIANT: a signature is judged over the very bytes that the artifact's digest names; both of these answer for that.
  const document = signed.isClearSigned ? new Uint8Array(0) : (artifactBytes ?? artifactHashes);
  if (document === undefined) {
    return noProof(
      "bytes-needed",
      "An OpenPGP signature is over the artifact's bytes; its sha256 digest is not enough to check it.",
      "signature",
    );
  }
  const result = await openpgp.verify({ signature: signed.signature, document, certificates, times });
  if (result.outcome === "bad") {
    const { code, message, steps } = result;
    return { ok: false, code, message, steps };
  }
  const { fingerprint, signingKey, hash, steps } = result;
  return {
    ok: true,
    signer: { kind: "openpgp", principal: fingerprint, algorithm: `openpgp-${hash}` },
    isMeant: (entry) => entry.kind === "openpgp" && entry.keyId === fingerprint,
    timesFor: () => times,
    notEvaluated: [],
    steps: [
      ...steps,
      passed("signer", `The signature is of key ${signingKey}, which the certificate openpgp:${fingerprint} binds.`),
    ],
  };
}

/** The version's certificates, each once. Throws `trust-invalid` if one is not the fingerprint's: that is no verdict about any evidence. */
function certificatesOf(openpgp: OpenPgpPort, trust: TrustVersion): string[] {
  const certificates = new Map<string, OpenPgpEntry>();
  for (const entry of trust.entries) {
    if (entry.kind !== "openpgp" || certificates.has(entry.certificate)) continue;
    let fingerprint: string;
    try {
      ({ fingerprint } = openpgp.readCertificate(entry.certificate));
    } catch (cause) {
      const message = `The OpenPGP certificate of trust entry ${JSON.stringify(entry.id)} cannot be read.`;
      throw new EvidenceError("trust-invalid", message, { cause });
    }
    if (fingerprint !== entry.keyId) {
      throw new EvidenceError(
        "trust-invalid",
        `The fingerprint of trust entry ${JSON.stringify(entry.id)} is not that of its certificate.`,
      );
    }
    certificates.set(entry.certificate, entry);
  }
  return [...certificates.keys()];
}
