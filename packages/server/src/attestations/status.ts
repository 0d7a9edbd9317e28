import { type Digest, parseDigest, type ProvenTime, type TrustVersion, type Verdict, verify } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { ServerError } from "../errors.ts";
import type { BlobStore } from "../storage/blobs.ts";
import type { EvidenceRow } from "./queries.ts";
import { MAX_BUNDLE_BYTES } from "./reading.ts";

/** What a piece of evidence is worth under a trust version: computed when it is asked, never stored. */
export type Status =
  | Verdict
  | { readonly status: "reported"; readonly evidence: Digest; readonly predicateType: string };

/** About what, where, and believing whom. */
export interface Question {
  readonly artifact: Digest;
  /** "org/name", for the scope of trust; without it only entries of scope "**" count. */
  readonly repository: string | undefined;
  readonly trust: TrustVersion;
}

/** When the record first had the signature of a piece: its proven time. */
export function receivedTime(row: Pick<EvidenceRow, "first_time" | "first_sequence">): ProvenTime {
  return { source: "received-here", time: row.first_time, evidence: `record ${row.first_sequence}` };
}

/** Judges one piece. Whatever is wrong with it, its stored bytes included, is a refusal with its reason. */
export async function statusOf(blobs: BlobStore, row: EvidenceRow, question: Question): Promise<Status> {
  const evidence = parseDigest(row.digest);
  const refused = (message: string): Status => ({ status: "refused", evidence, code: "malformed", message });
  switch (row.form) {
    case "unreadable":
      return refused(`It came as a bundle and cannot be read as one (${row.unreadable ?? "no reason kept"}).`);
    case "report":
      return { status: "reported", evidence, predicateType: row.predicate_type ?? "" };
    case "dsse":
    case "message-signature":
  }
  let bundle: Uint8Array;
  try {
    bundle = await blobs.readSmall(evidence, MAX_BUNDLE_BYTES);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    return refused(`Its bytes cannot be read from the store (${error.code}): run \`assay server check\`.`);
  }
  const { artifact, repository, trust } = question;
  const verdict = await verify(nodeCrypto, {
    bundle,
    artifact,
    trust,
    times: [receivedTime(row)],
    ...(repository === undefined ? {} : { repository }),
  });
  // The row names bytes by digest; other bytes under that name are not this evidence, however well they verify.
  if (verdict.evidence !== evidence)
    return refused("The stored bytes are not those of this digest: run `assay server check`.");
  return verdict;
}
