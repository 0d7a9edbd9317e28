/** Is this really said, by whom, when, about which bytes? See README.md, and verify.ts for the procedure. */
export type { ArtifactSource, ReadingTerms } from "./artifact-hashes.ts";
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
export {
  BLOB_SIGNATURE_MEDIA_TYPE,
  formatBlobSignature,
  readLocalBundle,
  readSignatureFile,
} from "./blob-signature.ts";
export { COSIGN_SIGNATURE_MEDIA_TYPE, formatCosignSignature, isCosignLayer } from "./cosign.ts";
export * from "./cosignature.ts";
export * from "./cosignkey.ts";
export * from "./crypto.ts";
export * from "./digest.ts";
export {
  type DocumentHashes,
  type DocumentHashName,
  type HashedDocument,
  type Hasher,
  hashDocument,
  type HashWay,
} from "./document-hash.ts";
export * from "./dsse.ts";
export * from "./encoding.ts";
export * from "./errors.ts";
export { Explanation } from "./explanation.ts";
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
export { nobleCrypto, verifyDigest, verifyMessageHash } from "./noblecrypto.ts";
export {
  isNotationCose,
  NOTATION_ARTIFACT_TYPE,
  NOTATION_COSE_MEDIA_TYPE,
  NOTATION_JWS_MEDIA_TYPE,
  type NotationSignature,
  parseNotation,
} from "./notation.ts";
export * from "./note.ts";
export { lineAt, lineText, readArmorBlocks } from "./openpgp-armor.ts";
export { canonicalClearText, type ClearSigned, parseClearSigned } from "./openpgp-cleartext.ts";
export type * from "./openpgp-port.ts";
export * from "./openpgp-signature.ts";
export * from "./receipt.ts";
export * from "./reference.ts";
export { type HashName, ownScheme, type SignatureScheme } from "./scheme.ts";
export {
  parseSctList,
  type SctResult,
  type SignedCertificateTimestamp,
  verifySct,
} from "./sct.ts";
export * from "./sign.ts";
export { ecdsaToDer } from "./signature.ts";
export * from "./statement.ts";
export * from "./tiles.ts";
export { parseTimestamp, type TimestampResult, verifyTimestamp } from "./timestamp.ts";
export * from "./tlog-policy.ts";
export { isInScope, matchesRepository, type TrustScope } from "./scope.ts";
export {
  type CertificateEntry,
  type CertificateIdentity,
  certificateKeyId,
  checkTrust,
  formatTrustFile,
  type KeyEntry,
  matchesSubject,
  type OpenPgpEntry,
  parseTrustFile,
  readTrustRoot,
  type SubjectMatch,
  TRUST_MEDIA_TYPE,
  type TrustEntry,
  type TrustVersion,
} from "./trust.ts";
export { matchesText } from "./scope.ts";
export {
  type Authority,
  isWithin,
  type LogKey,
  parseTrustedRoot,
  readRoot,
  rootJson,
  type TrustRoot,
  x509Root,
} from "./trust-root.ts";
export { diffTrust, isSameTrust, type TrustDiff } from "./trust-diff.ts";
export { readEvidence, type UnverifiedEvidence } from "./unverified.ts";
export * from "./verdict.ts";
export { type VerifyRequest, verify } from "./verify.ts";
export { webCrypto } from "./webcrypto.ts";
export {
  type Certificate,
  type Extension,
  isSelfIssued,
  parseCertificate,
  parseCertificatePem,
  parseCertificatesPem,
} from "./x509.ts";
export { type ChainRequest, type ChainResult, certificatesOf, verifyChain } from "./x509-chain.ts";
export type { ChainPurpose, ChainRefusal } from "./x509-path.ts";
