import { type Digest, type ProvenTime, type TrustVersion, verify } from "@assay/evidence";
import { currentTrustNumber, trustVersion } from "../trust/queries.ts";
import { isLost } from "../storage/blobs.ts";
import type { Reader } from "../storage/database.ts";
import { artifactSource, type JudgingContext } from "./artifact-bytes.ts";
import { AllowanceSpent } from "./artifact-readings.ts";
import { formReaders } from "./openpgp.ts";
import { judgingCrypto } from "./proofs.ts";
import { firstOfSignature } from "./queries.ts";
import type { ReadPiece } from "./reading.ts";

/** Identities one piece is listed under at most. */
const MAX_SIGNERS = 16;

/** Which identities a signature has been proven to be of, and the trust version whose identities were tried. */
export interface ProvenSigners {
  readonly signers: string[];
  readonly provenUnder: number;
}

/** What proving needs. */
export interface SignersContext extends JudgingContext {
  readonly reader: Reader;
}

/**
 * Proves whose signature a piece carries, among the identities the organisation trusts now for anything at all. That a key made a
 * signature stays true for ever; whether it may say so is decided elsewhere, by its entries' scope and window.
 *
 * @param bytes the evidence's.
 * @param now ms since 1970: certificates are judged as of the signature's first arrival, which is now for a new one.
 * @throws ServerError `artifacts-busy` when the artifact could not be read for it now, or not enough of it.
 */
export async function proveSigners(
  context: SignersContext,
  org: string,
  bytes: Uint8Array,
  piece: ReadPiece,
  now: number,
): Promise<ProvenSigners> {
  const { reader } = context;
  const [artifact] = piece.subjects;
  if (artifact === undefined || piece.form === "report" || piece.form === "unreadable") {
    return { signers: [], provenUnder: await currentTrustNumber(reader, org) };
  }
  const trust = await trustVersion(reader, org, {}, []);
  if (trust === undefined) return { signers: [], provenUnder: 0 };
  const source = await artifactSource(context, org, artifact, piece.form);
  const proving = verify(judgingCrypto, {
    bundle: bytes,
    artifact,
    trust: withoutBounds(trust),
    times: [await arrival(reader, org, piece.signature, now)],
    ...formReaders,
    ...(source === undefined ? {} : { artifactSource: source }),
  });
  const verdict = await proving.catch((error: unknown) => {
    // The artifact's bytes are gone or altered: its evidence is taken in all the same, and nobody is proven to have signed it.
    if (isLost(error)) return undefined;
    throw error;
  });
  // Who signed it is written down once. INVARIANT: nobody is left out because there was no time to find them.
  if (context.allowance.isSpent) throw new AllowanceSpent();
  if (verdict?.status !== "verified") return { signers: [], provenUnder: trust.version };
  const meant = new Set(verdict.signer.entries.map(({ entry }) => entry));
  const signers = new Set(trust.entries.filter(({ id }) => meant.has(id)).map(({ keyId }) => keyId));
  return { signers: [...signers].slice(0, MAX_SIGNERS), provenUnder: trust.version };
}

async function arrival(reader: Reader, org: string, signature: Digest | null, now: number): Promise<ProvenTime> {
  const first = signature === null ? undefined : await firstOfSignature(reader, org, signature);
  return { source: "received-here", time: first?.time ?? now, evidence: "its arrival" };
}

/** The same identities, each once, without scope or window: who said it, not whether they may. */
function withoutBounds(trust: TrustVersion): TrustVersion {
  const identities = new Map(trust.entries.map((entry) => [entry.keyId, entry]));
  return {
    ...trust,
    entries: [...identities.values()].map((entry) => ({
      ...entry,
      scope: { repositories: ["**"], predicateTypes: ["*"] },
      validFrom: null,
      validUntil: null,
      primary: false,
    })),
  };
}
