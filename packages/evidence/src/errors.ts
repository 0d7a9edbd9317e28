/**
 * Every way this package can fail, by stable code, with what to do about it.
 *
 * A code is never reused for another meaning; new ones are added at the end of their group.
 */
export const EVIDENCE_ERRORS = {
  // encodings and documents
  "encoding-invalid": "Send the value in the exact encoding named (lower-case hex, standard padded base64, UTF-8).",
  "too-large": "Split or shrink the input; the limits are listed in limits.ts.",
  "json-invalid": "Send well-formed JSON (RFC 8259) in UTF-8, without a byte order mark.",
  "json-duplicate-key": "Write each member of a JSON object once; readers disagree about repeated ones.",
  "json-too-deep": "Nest the JSON less deeply; the limits are listed in limits.ts.",
  "json-uncanonical":
    "Keep to values that RFC 8785 can write: finite numbers, well-formed strings, arrays, plain objects.",
  "digest-invalid": 'Write the digest as "sha256:" and 64 lower-case hexadecimal digits.',
  "reference-invalid": "Write the reference as host/repository[:tag][@sha256:…] by the OCI grammar.",
  "der-invalid": "Encode the structure in strict DER, with nothing after it.",

  // logs
  "merkle-range": "Ask for an index or size that lies within the tree.",
  "tile-path-invalid": "Use a path of the C2SP tlog-tiles form, such as tile/0/x001/234.p/17.",
  "entries-invalid": "Use an entry bundle of 16-bit length-prefixed entries, at most 256 of them.",
  "note-invalid": "Use the C2SP signed-note form: text, blank line, signature lines.",
  "note-key-invalid": "Use the C2SP vkey form <name>+<hash>+<base64 of type and key>.",
  "note-signature-invalid":
    "A signature by a known key does not match the note: obtain the note again from its source.",
  "note-unverified": "No key you trust signed this note: check which log keys you trust.",
  "witness-policy-invalid":
    "Use the C2SP tlog-policy form: log, witness, group and quorum lines, each ending in a newline, names defined before they are used.",
  "quorum-missing":
    "Too few of the policy's witnesses cosigned this checkpoint: ask for a witnessed one, and do not rely on this one.",
  "checkpoint-invalid": "Use the C2SP tlog-checkpoint form: origin, size and root, each on its own line.",
  "receipt-invalid": "Obtain the receipt again from the server that issued it.",
  "receipt-unproven":
    "The receipt does not prove its event: obtain it again; if it fails again, keep both, and compare the checkpoint with one that others hold.",
  "receipt-withheld":
    "Ask the server for the receipt with event and salt; an event that was redacted is verified with the receipt of the event that redacted it.",

  // keys
  "key-invalid": "Give a public key as PEM or DER SubjectPublicKeyInfo (RFC 5280), named curves, uncompressed points.",
  "key-unsupported": "Use ECDSA P-256, P-384 or P-521, RSA of 2048 to 4096 bits, or Ed25519.",
  "private-key-invalid": "Give an unencrypted PKCS #8 private key of a supported algorithm.",
  "cosign-key-invalid": "Give a key file as written by `cosign generate-key-pair` or `assay key generate`.",
  "cosign-key-password": "Check the password of the key file.",

  // certificates
  "certificate-invalid":
    "Give an X.509 version 3 certificate (RFC 5280) in strict DER, with a key of a supported algorithm; `openssl x509 -text` shows what is in it.",
  "trusted-root-invalid":
    "Give a Sigstore trusted root (trusted_root.json) as its instance distributes it, or certificates of authorities as PEM.",

  // evidence
  "envelope-invalid": "Use a DSSE v1 envelope with exactly one signature.",
  "statement-invalid": "Use an in-toto Statement v0.1 or v1 with at least one subject.",
  "bundle-invalid": "Use a Sigstore bundle v0.1 to v0.3 with either a DSSE envelope or a message signature.",
  "bundle-unsupported":
    "The bundle is of a version or has members that this version does not read: obtain it in a form that the reference lists.",
  "time-invalid": "Give proven times and times of trust as whole milliseconds since 1970.",
  "trust-invalid": "Export the trust file again with `assay`; do not edit it by hand.",
  "sign-invalid": "The signer returned something that is no signature of its own public key's algorithm.",
  "openpgp-invalid":
    "Use an OpenPGP signature as gpg writes it (RFC 9580, RFC 4880): detached, armoured or clear-signed, with nothing around it.",
  "openpgp-unsupported":
    "Sign with a current key and program: OpenPGP versions 4 or 6 (or signatures of version 3 by RSA keys), and a known algorithm.",
  "timestamp-invalid": "Use an RFC 3161 TimeStampResp or TimeStampToken in DER, granted, with one signer.",
  "cbor-invalid": "Encode the structure in CBOR with definite, shortest lengths and each map key once.",
  "notation-invalid": "Use a Notary Project signature envelope, as `notation sign` writes it.",
  "notation-unsupported":
    "Sign again with the signing scheme notary.x509, without a verification plugin or other critical attributes.",
} as const;

/** A stable name of a failure; the keys of {@link EVIDENCE_ERRORS}. */
export type EvidenceErrorCode = keyof typeof EVIDENCE_ERRORS;

/** The only error this package throws about its input. `code` is for programs, `message` and `hint` for people. */
export class EvidenceError extends Error {
  override readonly name = "EvidenceError";
  readonly code: EvidenceErrorCode;
  /** What the reader of this error can do. */
  readonly hint: string;

  constructor(code: EvidenceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.hint = EVIDENCE_ERRORS[code];
  }
}
