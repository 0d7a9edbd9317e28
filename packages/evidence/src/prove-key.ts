import type { Bundle } from "./bundle.ts";
import type { EvidenceErrorCode } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { noProof, type NoProof, type Proof, type ProofRequest } from "./proof.ts";
import { provenTimesOf } from "./sigstore.ts";
import { candidateKeys, findSigner, namedKeys, type SignerSearch } from "./signer.ts";
import type { ProvenTime, RefusalCode, Step } from "./verdict.ts";

/** Who made the signature of a bundle that names a key, or nobody: one of the trusted keys, or none. */
export async function proveKey(bundle: Bundle, request: ProofRequest): Promise<Proof | NoProof> {
  const { crypto, trust, artifact, artifactBytes } = request;
  const names = namedKeys(bundle);
  const keys = candidateKeys(trust, names);
  const named = names.map((name) => JSON.stringify(name.slice(0, 100))).join(" and ");
  if (keys.length === 0) {
    const message = named === "" ? "No key is trusted." : `The bundle names the key ${named}, which is not trusted.`;
    return noProof("unknown-signer", message, "signer");
  }
  if (keys.length > LIMITS.unhintedKeys) {
    const message = `The bundle names no key, and ${keys.length} trusted ones are too many to try.`;
    return noProof("unknown-signer", message, "signer");
  }
  const search = await findSigner(crypto, bundle.content, keys, artifactBytes);
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
    steps: [passed("signature", `The key ${key.keyId} made the signature (${key.algorithm}).`), ...steps],
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

export function passed(check: string, detail: string): Step {
  return { check, outcome: "passed", detail };
}

/** Earliest first. */
export function byTime(times: readonly ProvenTime[]): ProvenTime[] {
  return times.toSorted((a, b) => a.time - b.time);
}

/** The refusal that a reader's error comes to. */
export function refusalOf(code: EvidenceErrorCode): RefusalCode {
  return code.endsWith("-unsupported") ? "unsupported" : "malformed";
}
