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

/**
 * Who verified, as the summary says it. Consumers accept pairs of key and verifier id (SLSA, "Verifying VSAs"). A policy that came with
 * the request is whatever its sender wrote, so it answers under an id of its own: nobody who accepts this server's own id takes it for
 * a policy somebody with the right to set policies has set.
 */
export function verifierId(publicUrl: string, storedPolicy: boolean): string {
  return storedPolicy ? publicUrl : `${publicUrl}/policy-given-with-the-request`;
}

/** The decision as a signed SLSA verification summary: the bytes of a Sigstore bundle, verifiable with our public key alone. */
export async function signSummary(
  context: Pick<GateContext, "keyring" | "publicUrl">,
  org: string,
  decision: Decision,
  storedPolicy: boolean,
): Promise<Uint8Array> {
  const { keyring, publicUrl } = context;
  const payloadBytes = buildStatement({
    subjects: [{ digest: { sha256: digestHex(decision.subject) } }],
    predicateType: VSA_PREDICATE_TYPE,
    predicate: vsaPredicate(decision, {
      verifierId: verifierId(publicUrl, storedPolicy),
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
