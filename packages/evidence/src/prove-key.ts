import type { Bundle } from "./bundle.ts";
import { LIMITS } from "./limits.ts";
import { byTime, noProof, type NoProof, passed, type Proof, type ProofRequest } from "./proof.ts";
import { provenTimesOf } from "./sigstore.ts";
import { candidateKeys, findSigner, namedKeys, showKeyName, type SignerSearch } from "./signer.ts";

/** Who made the signature of a bundle that names a key, or nobody: one of the trusted keys, or none. */
export async function proveKey(bundle: Bundle, request: ProofRequest): Promise<Proof | NoProof> {
  const { crypto, trust, artifact, artifactBytes, artifactHashes } = request;
  const names = namedKeys(bundle);
  const keys = candidateKeys(trust, names);
  const named = [...new Set(names.map(showKeyName))].join(" and ");
  if (keys.length === 0) {
    const message = named === "" ? "No key is trusted." : `The bundle names the key ${named}, which is not trusted.`;
    return noProof("unknown-signer", message, "signer");
  }
  if (keys.length > LIMITS.unhintedKeys) {
    const message = `The bundle names no key, and ${keys.length} trusted ones are too many to try.`;
    return noProof("unknown-signer", message, "signer");
  }
  const search = await findSigner(crypto, bundle.content, keys, artifactBytes, artifactHashes);
  if (search.outcome !== "signed") return signatureMiss(search.outcome, artifact, names.length > 0);
  const { key } = search;
  const { times, notEvaluated, steps } = await provenTimesOf(crypto, bundle, trust.roots, key);
  const all = byTime([...request.times, ...times]);
  return {
    ok: true,
    signer: { kind: "key", principal: key.keyId, algorithm: key.algorithm },
    isMeant: (entry) => entry.kind === "key" && entry.keyId === key.keyId,
    timesFor: () => all,
    notEvaluated,
    steps: [passed("signature", `The key sha256:${key.keyId} made the signature (${key.algorithm}).`), ...steps],
  };
}

/** What a search that found nobody comes to. */
export function signatureMiss(
  outcome: Exclude<SignerSearch["outcome"], "signed">,
  artifact: string,
  named: boolean,
): NoProof {
  switch (outcome) {
    case "none":
      return named
        ? noProof(
            "signature-invalid",
            "The key that the bundle names did not make this signature over this content.",
            "signature",
          )
        : noProof("unknown-signer", "The bundle names no key, and no trusted key made its signature.", "signature");
    case "mismatch":
      return noProof(
        "subject-mismatch",
        `The bundle is a signature over other bytes than those of ${artifact}.`,
        "signature",
      );
    case "bytes-needed":
      return noProof(
        "bytes-needed",
        "This signature is over the artifact's bytes; its sha256 digest is not enough to check it.",
        "signature",
      );
  }
}
