import { type TrustVersion, verify } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { currentTrustNumber, trustVersion } from "../trust/queries.ts";
import type { Reader } from "../storage/database.ts";
import type { ReadPiece } from "./reading.ts";

/** Which keys a signature has been proven to be of, and the trust version whose keys were tried. */
export interface ProvenSigners {
  readonly signers: string[];
  readonly provenUnder: number;
}

/**
 * Proves whose signature a bundle carries, among the keys the organisation trusts now for anything at all. That a key made a signature
 * stays true for ever; whether the key may say so is decided elsewhere, by its entries' scope and window.
 */
export async function proveSigners(
  reader: Reader,
  org: string,
  bytes: Uint8Array,
  piece: ReadPiece,
): Promise<ProvenSigners> {
  const [artifact] = piece.subjects;
  if (artifact === undefined || piece.form === "report" || piece.form === "unreadable") {
    return { signers: [], provenUnder: await currentTrustNumber(reader, org) };
  }
  const trust = await trustVersion(reader, org, {}, []);
  if (trust === undefined) return { signers: [], provenUnder: 0 };
  const verdict = await verify(nodeCrypto, { bundle: bytes, artifact, trust: withoutBounds(trust), times: [] });
  return { signers: verdict.status === "verified" ? [verdict.signer.keyId] : [], provenUnder: trust.version };
}

/** The same keys, each once, without scope or window: who said it, not whether they may. */
function withoutBounds(trust: TrustVersion): TrustVersion {
  const keys = new Map(trust.entries.map((entry) => [entry.keyId, entry]));
  return {
    ...trust,
    entries: [...keys.values()].map((entry) => ({
      ...entry,
      scope: { repositories: ["**"], predicateTypes: ["*"] },
      validFrom: null,
      validUntil: null,
      primary: false,
    })),
  };
}
