import { EvidenceError, LIMITS, parseStatement, readEvidence } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { quantity } from "../table.ts";

/**
 * What a piece of evidence itself says came out: the result of tests, of a verification. That it is really said is the
 * signature's matter; whether it is enough is a policy's.
 */
export type Claim = {
  /** As people read it after "says". */
  readonly says: string;
  /** Whether it says that all is well, without contradicting itself. */
  readonly isPass: boolean;
};

/** in-toto/attestation: spec/predicates/test-result.md, any version. */
const TEST_RESULT = /^https:\/\/in-toto\.io\/attestation\/test-result\/v[0-9.]+$/;
/** slsa.dev/spec: verification_summary, any version. */
const VERIFICATION_SUMMARY = /^https:\/\/slsa\.dev\/verification_summary\/v[0-9.]+$/;

/** Whether evidence of this type says how something came out. */
export function hasOutcome(predicateType: string | null): boolean {
  return predicateType !== null && (TEST_RESULT.test(predicateType) || VERIFICATION_SUMMARY.test(predicateType));
}

/** The outcome that a predicate states; undefined for a type that states none. */
export function claimOf(predicateType: string, predicate: unknown): Claim | undefined {
  if (TEST_RESULT.test(predicateType)) return testClaim(predicate);
  if (VERIFICATION_SUMMARY.test(predicateType)) return outcome(member(predicate, "verificationResult"));
  return undefined;
}

/** The outcome that the bytes of a piece of evidence state: a bundle's, or those of an unsigned report. */
export function claimIn(bytes: Uint8Array): Claim | undefined {
  try {
    const { predicateType, predicate } = statementIn(bytes);
    return claimOf(predicateType, predicate);
  } catch (error) {
    // What cannot be read is refused as evidence, and its refusal says why.
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}

function statementIn(bytes: Uint8Array): { readonly predicateType: string; readonly predicate: unknown } {
  try {
    return readEvidence(nodeCrypto, bytes);
  } catch (error) {
    // A report is the statement itself, and no bundle.
    if (!(error instanceof EvidenceError) || bytes.length > LIMITS.payloadBytes) throw error;
    return parseStatement(bytes);
  }
}

function testClaim(predicate: unknown): Claim {
  const claim = outcome(member(predicate, "result"));
  const failed = member(predicate, "failedTests");
  if (!claim.isPass || !Array.isArray(failed) || failed.length === 0) return claim;
  return { says: `${claim.says}, but lists ${quantity(failed.length, "failed test")}`, isPass: false };
}

function outcome(value: unknown): Claim {
  if (value === "PASSED") return { says: value, isPass: true };
  if (typeof value === "string" && value !== "") return { says: value.slice(0, 100), isPass: false };
  return { says: "nothing that can be read as a result", isPass: false };
}

/** An own member, whatever the value is. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
