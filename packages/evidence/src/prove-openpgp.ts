import { sha256 } from "@noble/hashes/sha2.js";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { type NoProof, noProof, type Proof, type ProofRequest } from "./proof.ts";
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
  const { openpgp, trust, artifact, artifactBytes, artifactSource, times } = request;
  if (openpgp === undefined) {
    return noProof("unsupported", "OpenPGP signatures are not evaluated here.", "signature");
  }
  const entries = trust.entries.filter((entry) => entry.kind === "openpgp");
  if (entries.length === 0) return noProof("unknown-signer", "No OpenPGP certificate is trusted.", "signer");
  const certificates = await certificatesOf(openpgp, trust);
  const document = signed.isClearSigned
    ? new Uint8Array(0)
    : (artifactBytes ?? (artifactSource && counted(artifactSource.read(), artifactSource.size)));
  if (document === undefined) {
    return noProof(
      "bytes-needed",
      "An OpenPGP signature is over the artifact's bytes; its sha256 digest is not enough to check it.",
      "signature",
    );
  }
  const stream = document instanceof Uint8Array ? undefined : document;
  const result = await openpgp.verify({
    signature: signed.signature,
    document: stream?.chunks ?? (document as Uint8Array),
    certificates,
    times,
  });
  // INVARIANT: a signature is judged over the very bytes that the artifact's digest names.
  if (stream !== undefined && `sha256:${await stream.digest()}` !== artifact) {
    return noProof("subject-mismatch", `The bytes given are not those of ${artifact}.`, "subject", result.steps);
  }
  if (result.outcome === "bad") return { ok: false, ...pick(result) };
  const { fingerprint, signingKey, hash, steps } = result;
  return {
    ok: true,
    signer: { kind: "openpgp", principal: fingerprint, algorithm: `openpgp-${hash}` },
    isMeant: (entry) => entry.kind === "openpgp" && entry.keyId === fingerprint,
    timesFor: () => times,
    notEvaluated: [],
    steps: [
      ...steps,
      {
        check: "signer",
        outcome: "passed",
        detail: `The signature is of key ${signingKey}, which the certificate ${fingerprint} binds.`,
      },
    ],
  };
}

function pick({ code, message, steps }: Omit<NoProof, "ok">): Omit<NoProof, "ok"> {
  return { code, message, steps };
}

/** The version's certificates, each once. Throws `trust-invalid` if one is not the fingerprint's: that is no verdict about any evidence. */
async function certificatesOf(openpgp: OpenPgpPort, trust: TrustVersion): Promise<string[]> {
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

/** The chunks of a stream, hashed as they pass; reading what is left of them where the reader stopped early. */
function counted(source: AsyncIterable<Uint8Array>, size: number) {
  const hash = sha256.create();
  let bytes = 0;
  const iterator = source[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    const result = await iterator.next();
    if (result.done === true) return { done: true, value: undefined };
    bytes += result.value.length;
    if (bytes > size) throw new EvidenceError("too-large", "The artifact has more bytes than it was said to have.");
    hash.update(result.value);
    return result;
  };
  return {
    chunks: { [Symbol.asyncIterator]: () => ({ next }) } satisfies AsyncIterable<Uint8Array>,
    async digest(): Promise<string> {
      for (let result = await next(); result.done !== true; result = await next());
      return toHex(hash.digest());
    },
  };
}
