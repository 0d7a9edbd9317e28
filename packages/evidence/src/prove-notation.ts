import type { NotationSignature } from "./notation.ts";
import { checkNotation, notationUnderRoot } from "./notation-verify.ts";
import type { NoProof, Proof, ProofRequest } from "./proof.ts";
import { proveHolder } from "./prove-certificate.ts";

/** Who made a Notary Project signature: the holder of its certificate, if a root that trust names vouches for it. */
export async function proveNotation(notation: NotationSignature, request: ProofRequest): Promise<Proof | NoProof> {
  const { crypto, times, now } = request;
  const checked = await checkNotation(crypto, notation);
  if (!checked.ok) return checked;
  return await proveHolder(checked.leaf, request, checked.steps, (root) =>
    notationUnderRoot(crypto, checked, { root, times, ...(now === undefined ? {} : { now }) }),
  );
}
