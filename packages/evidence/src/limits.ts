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
  /** Patterns or predicate types of one trust entry's scope. */
  scopePatterns: 1_000,
  /** Characters of a repository name or pattern. */
  repositoryLength: 255,
  /** Trusted keys tried on a bundle that does not say which key signed it. */
  unhintedKeys: 256,
  /** Proven times given to one verification. */
  provenTimes: 100,
} as const;
