/** Is this really said, by whom, when, about which bytes? See README.md, and verify.ts for the procedure. */
export {
  BUNDLE_MEDIA_TYPE,
  type Bundle,
  type BundleContent,
  formatBundle,
  type KeyBundle,
  type MessageDigest,
  type MessageDigestAlgorithm,
  parseBundle,
  type VerificationMaterial,
} from "./bundle.ts";
export * from "./checkpoint.ts";
export * from "./commitment.ts";
export * from "./cosignature.ts";
export * from "./cosignkey.ts";
export * from "./crypto.ts";
export * from "./digest.ts";
export * from "./dsse.ts";
export * from "./encoding.ts";
export * from "./errors.ts";
export * from "./jcs.ts";
export * from "./json.ts";
export {
  ed25519FromRaw,
  formatPublicKeyPem,
  type KeyAlgorithm,
  keyHint,
  type PublicKey,
  parsePublicKeyPem,
  parseSpki,
} from "./keys.ts";
export { LIMITS } from "./limits.ts";
export * from "./merkle.ts";
export { nobleCrypto } from "./noblecrypto.ts";
export * from "./note.ts";
export * from "./receipt.ts";
export * from "./reference.ts";
export * from "./sign.ts";
export { ecdsaToDer } from "./signature.ts";
export * from "./statement.ts";
export * from "./tiles.ts";
export * from "./tlog-policy.ts";
export {
  formatTrustFile,
  isInScope,
  matchesRepository,
  parseTrustFile,
  TRUST_MEDIA_TYPE,
  type TrustEntry,
  type TrustScope,
  type TrustVersion,
} from "./trust.ts";
export { readEvidence, type UnverifiedEvidence } from "./unverified.ts";
export * from "./verdict.ts";
export { type VerifyRequest, verify } from "./verify.ts";
export { webCrypto } from "./webcrypto.ts";
