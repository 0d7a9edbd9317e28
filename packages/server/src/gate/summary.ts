import { buildStatement, digestHex, parsePublicKeyPem, signStatement } from "@assay/evidence";
import { type Decision, VSA_PREDICATE_TYPE, vsaPredicate } from "@assay/policy";
import type { GateContext } from "./context.ts";

/** Where an artifact is, as a verification summary names what it is about. */
function resourceUri(publicUrl: string, org: string, decision: Decision): string {
  if (decision.repository !== undefined)
    return `oci://${new URL(publicUrl).host}/${decision.repository}@${decision.subject}`;
  return `${publicUrl}/api/assay/v1/orgs/${org}/attestations/${decision.subject}`;
}

/** Where a policy is to be had, by its digest, for ever. */
export function policyUri(publicUrl: string, org: string, digest: string): string {
  return `${publicUrl}/api/assay/v1/orgs/${org}/policies/${digest}`;
}

/** The decision as a signed SLSA verification summary: the bytes of a Sigstore bundle, verifiable with our public key alone. */
export async function signSummary(
  context: Pick<GateContext, "keyring" | "publicUrl">,
  org: string,
  decision: Decision,
): Promise<Uint8Array> {
  const { keyring, publicUrl } = context;
  const payloadBytes = buildStatement({
    subjects: [{ digest: { sha256: digestHex(decision.subject) } }],
    predicateType: VSA_PREDICATE_TYPE,
    predicate: vsaPredicate(decision, {
      verifierId: publicUrl,
      resourceUri: resourceUri(publicUrl, org, decision),
      policyUri: policyUri(publicUrl, org, decision.policy.digest),
      timeVerified: decision.time,
    }),
  });
  return signStatement({
    payloadBytes,
    sign: (bytes) => keyring.sign("vsa", bytes),
    publicKey: parsePublicKeyPem(keyring.key("vsa").publicKeyPem),
  });
}
