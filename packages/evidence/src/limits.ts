/** Upper bounds on everything that comes from outside. Each is checked before the work it bounds is done. */
export const LIMITS = {
  /** Bytes of one bundle, and of one JSON document unless said otherwise. */
  bundleBytes: 16 * 1024 * 1024,
  /** Bytes of a DSSE payload; base64 makes it a third larger, so it must leave room in the bundle. */
  payloadBytes: 12 * 1024 * 1024,
  /** Nested arrays and objects in one JSON document. */
  jsonDepth: 64,
  /** Nesting that canonical JSON will write: a document of `jsonDepth` inside wrappers of our own. */
  canonicalDepth: 128,
  /** Bytes of the document by which cosign 2 names an image. */
  simpleSigningBytes: 1024 * 1024,
  /** Subjects of one statement. */
  subjects: 10_000,
  /** Digest algorithms of one subject. */
  digestsPerSubject: 16,
  /** Characters of a subject's name. */
  subjectNameLength: 4_096,
  /** Characters of a type URI: predicate type, payload type, media type. */
  typeLength: 1_024,
  /** Elements of `tlogEntries`, `rfc3161Timestamps` and certificate chains. */
  materialEntries: 32,
  /** Bytes of any one signature: 4096-bit RSA is the largest we verify. */
  signatureBytes: 512,
  /** Bytes of a SubjectPublicKeyInfo: 4096-bit RSA takes 550. */
  spkiBytes: 1_024,
  /** Bytes of one RFC 3161 token or response: with a chain of four RSA certificates it takes about 8,000. */
  timestampBytes: 64 * 1024,
  /** Bytes of one Notary Project signature envelope, and of each document in it. */
  notationBytes: 1024 * 1024,
  /** Nesting and number of values of one CBOR document. */
  cborDepth: 16,
  cborValues: 4_096,
  /** Bytes of one X.509 certificate, extensions in it, and names in one of its extensions. */
  certificateBytes: 32 * 1024,
  certificateExtensions: 64,
  certificateNames: 256,
  /** Certificates from which one chain is built, and certificates of one chain. */
  chainPool: 64,
  chainLength: 8,
  /** Signatures checked while building it (and 4 for each trusted authority), and paths begun or continued. */
  chainSignatures: 64,
  chainExtensions: 1_000,
  /** Signed certificate timestamps of one certificate. */
  certificateTimestamps: 16,
  /** Authorities and logs of each kind in one trust root: an instance keeps its old ones for ever. */
  rootAuthorities: 100,
  /** Characters of a PEM text. */
  pemLength: 16_384,
  /** Bytes of one signed note. */
  noteBytes: 1024 * 1024,
  /** Signature lines of one note; C2SP signed-note asks for at least 16. */
  noteSignatures: 100,
  /** Bytes of a witness policy (C2SP tlog-policy), and how many logs, witnesses and groups it may each define; 32 are asked for. */
  policyBytes: 1024 * 1024,
  policyLines: 1_000,
  /** Hashes of one Merkle proof; a tree of 2^53 leaves needs 53, a consistency proof one more. */
  proofHashes: 64,
  /** Bytes of one log entry (C2SP tlog-tiles: a 16-bit length prefix). */
  entryBytes: 65_535,
  /** Bytes of one entry of somebody else's transparency log (Rekor takes attestations of 100 KiB by default). */
  logEntryBytes: 1024 * 1024,
  /** Bytes of an event carried in a receipt. */
  eventBytes: 16 * 1024 * 1024,
  /** Events that one redaction names. */
  redactions: 10_000,
  /** Strings of one event that one redaction replaces. */
  redactedFields: 256,
  /** Characters of a redaction's reason, and of each JSON pointer in it. */
  redactionText: 1_024,
  /** Bytes of a trust file. */
  trustBytes: 16 * 1024 * 1024,
  /** Entries of a trust version. */
  trustEntries: 10_000,
  /** Bytes of an artifact that is read for signatures that its SHA-256 digest cannot decide (Ed25519, P-384, P-521). */
  messageBytes: 256 * 1024 * 1024,
  /** Roots of a trust version. */
  trustRoots: 100,
  /** Characters of an armoured OpenPGP certificate: those of distributions, with all signatures on them, reach some hundred thousand. */
  openPgpCertificate: 1024 * 1024,
  /** Patterns or predicate types of one trust entry's scope. */
  scopePatterns: 1_000,
  /** Characters of a repository name or pattern. */
  repositoryLength: 255,
  /** Trusted keys tried on a bundle that does not say which key signed it. */
  unhintedKeys: 256,
  /** Proven times given to one verification. */
  provenTimes: 100,
  /** Bytes of OpenPGP packets: a file of signatures, or a certificate with all the signatures of others on it. */
  openPgpBytes: 2 * 1024 * 1024,
  /** OpenPGP signatures in one file. */
  openPgpSignatures: 16,
  /** Ways in which one document is hashed for them: by algorithm, as bytes or text, and of version 6 by salt. */
  openPgpHashings: 4,
  /** Packets of one OpenPGP certificate. */
  openPgpPackets: 10_000,
  /** User ids, and subkeys, of one OpenPGP certificate, and signatures of its own on each of them. */
  openPgpComponents: 64,
  /** Bytes of an OpenPGP key with which anything is calculated: RSA of 8192 bits takes half of it. */
  openPgpKeyBytes: 2_200,
  /** OpenPGP keys tried on a signature that does not name its own. */
  openPgpCandidates: 64,
  /** Bytes of one OpenPGP signature packet, and subpackets in each of its two areas. */
  openPgpSignatureBytes: 65_535,
  openPgpSubpackets: 64,
  /** Characters of one line of armour, and header lines of it. */
  armorLineLength: 1_024,
  armorHeaders: 16,
  /** Bytes of a clear-signed text with its signature. */
  clearSignedBytes: 4 * 1024 * 1024,
} as const;
