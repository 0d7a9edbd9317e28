import { isInScope, type TrustEntry } from "@assay/evidence";
import { PREDICATE_TYPE } from "@assay/policy";
import type { DecideContext, NewEvent, Refusal } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { currentEntriesOfKeys, currentTrustNumber, keysSince } from "../trust/queries.ts";
import type { Given } from "./piece.ts";
import { primaryOf } from "./queries.ts";

/** Predicate types that say how an artifact was built. */
const BUILD_PROVENANCE: readonly string[] = [PREDICATE_TYPE.provenanceV1, PREDICATE_TYPE.provenanceV02];

/** What primary provenance comes to for a piece given to a repository. */
export type PrimaryDecision =
  | { readonly kind: "none" }
  | { readonly kind: "set"; readonly event: NewEvent }
  | { readonly kind: "already" }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/**
 * Whether the piece says by what builder and in which way the artifact was built: the least that every version of provenance demands, and
 * what it is indexed by. What cannot say that must not hold the place of the build's one provenance for ever.
 */
function isProvenance({ predicateType, fields }: Given): boolean {
  const says = (name: string): boolean => fields.some((field) => field.name === name);
  return predicateType !== null && BUILD_PROVENANCE.includes(predicateType) && says("builder.id") && says("buildType");
}

/** The one entry that makes the piece primary: rank, scope and window judged together, now. */
function primaryEntry(
  entries: readonly TrustEntry[],
  repository: string,
  predicateType: string,
  time: number,
): TrustEntry | undefined {
  return entries.find(
    (entry) =>
      entry.primary &&
      isInScope(entry.scope, repository, predicateType) &&
      (entry.validFrom === null || entry.validFrom <= time) &&
      (entry.validUntil === null || time <= entry.validUntil),
  );
}

/**
 * Rule 2, inside the appending transaction: per repository an artifact has at most one primary build provenance. It is set when
 * provenance is proven to be signed by an identity whose current trust entry is primary for that repository; the same payload again changes
 * nothing, a different one is refused.
 */
export async function decidePrimary(
  reader: Reader,
  given: Given,
  provenUnder: number,
  context: DecideContext,
): Promise<PrimaryDecision> {
  const { repository, predicateType, payloadDigest } = given;
  if (given.form !== "dsse" || repository === null || predicateType === null || payloadDigest === null) {
    return { kind: "none" };
  }
  if (!isProvenance(given) || given.subjects.length === 0) return { kind: "none" };

  const current = await currentTrustNumber(reader, context.org);
  const entries = await currentEntriesOfKeys(reader, context.org, given.signers);
  // The signature was tried against the identities of version `provenUnder`. One that came since was not, and it could be the one
  // that makes this primary: what is not known to be no is not passed as no. Nor is yes: a key's id is the key, but under the id of a
  // certificate identity or an OpenPGP certificate its authorities, revocations and subkeys may have changed since.
  if (current !== provenUnder) {
    const keys = new Set(entries.filter((entry) => entry.kind === "key").map((entry) => entry.keyId));
    const untried = (await keysSince(reader, context.org, provenUnder)).filter((changed) => !keys.has(changed));
    if (untried.length > 0) {
      return {
        kind: "refused",
        refusal: {
          code: "trust-changed",
          message: "trust changed while the provenance was being verified",
          hint: "send it again",
          status: 503,
        },
      };
    }
  }
  const entry = primaryEntry(entries, repository, predicateType, context.time);
  if (entry === undefined) return { kind: "none" };

  const existing = await primaryOf(reader, context.org, repository, given.subjects);
  const other = existing.find((row) => row.payload_digest !== payloadDigest);
  if (other !== undefined) {
    return {
      kind: "refused",
      refusal: {
        code: "primary-provenance-exists",
        message: `${other.subject} already has a primary build provenance in ${repository}, and this is a different one`,
        hint: "an artifact is built once: push the new build under its own digest, or sign as somebody who is not primary to add further evidence",
        status: 409,
        detail: { repository, subject: other.subject, evidence: other.evidence, sequence: other.sequence },
      },
    };
  }
  const held = new Set(existing.map((row) => row.subject));
  const subjects = given.subjects.filter((subject) => !held.has(subject));
  if (subjects.length === 0) return { kind: "already" };
  return {
    kind: "set",
    event: {
      type: "attestations.primary-set",
      body: {
        repository,
        subjects,
        evidence: given.evidence,
        payloadDigest,
        keyId: entry.keyId,
        entry: entry.id,
        trustVersion: current,
      },
    },
  };
}
