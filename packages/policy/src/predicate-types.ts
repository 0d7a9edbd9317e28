import { MESSAGE_SIGNATURE_PREDICATE, NOTATION_PREDICATE } from "@assay/evidence";

/** The predicate types that rules of this package know by name. Each is compared exactly. */
export const PREDICATE_TYPE = {
  /** in-toto attestation framework, predicates/test-result.md, version 0.1. */
  testResult: "https://in-toto.io/attestation/test-result/v0.1",
  /** SLSA provenance 1.0 to 1.2, which share this type. */
  provenanceV1: "https://slsa.dev/provenance/v1",
  /** SLSA provenance 0.2. */
  provenanceV02: "https://slsa.dev/provenance/v0.2",
  /** SLSA verification summary 1.0 to 1.2. */
  verificationSummary: "https://slsa.dev/verification_summary/v1",
  /** What `@assay/evidence` shows cosign 2's signatures of images under: their format has no type of its own. */
  simpleSigning: "https://assay.dev/cosign/simple-signing/v1",
} as const;

/**
 * The types that say "this signer signed this artifact" and nothing else, whatever tool made the signature: over the bytes (`cosign
 * sign-blob`, OpenPGP), cosign 3, cosign 2, notation.
 */
export const SIGNATURE_TYPES: readonly string[] = [
  MESSAGE_SIGNATURE_PREDICATE,
  "https://sigstore.dev/cosign/sign/v1",
  PREDICATE_TYPE.simpleSigning,
  NOTATION_PREDICATE,
];

/** The media type of what cosign 2 signs. No evidence is shown under it: a statement that claims it is not such a signature. */
export const SIMPLE_SIGNING_MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";

/** What every version of the verification summary's type begins with; only {@link PREDICATE_TYPE}'s is read. */
export const VERIFICATION_SUMMARY_FAMILY = "https://slsa.dev/verification_summary/";
/** What every version of the test result's type begins with. */
export const TEST_RESULT_FAMILY = "https://in-toto.io/attestation/test-result/";
