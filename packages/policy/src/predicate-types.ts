/** The predicate types whose content the rules of this package read. Each is compared exactly. */
export const PREDICATE_TYPE = {
  /** in-toto attestation framework, predicates/test-result.md, version 0.1. */
  testResult: "https://in-toto.io/attestation/test-result/v0.1",
  /** SLSA provenance 1.0 to 1.2, which share this type. */
  provenanceV1: "https://slsa.dev/provenance/v1",
  /** SLSA provenance 0.2. */
  provenanceV02: "https://slsa.dev/provenance/v0.2",
  /** SLSA verification summary 1.0 to 1.2. */
  verificationSummary: "https://slsa.dev/verification_summary/v1",
} as const;

/** What every version of the verification summary's type begins with; only {@link PREDICATE_TYPE}'s is read. */
export const VERIFICATION_SUMMARY_FAMILY = "https://slsa.dev/verification_summary/";
/** What every version of the test result's type begins with. */
export const TEST_RESULT_FAMILY = "https://in-toto.io/attestation/test-result/";
