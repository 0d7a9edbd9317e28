/**
 * What evidence needs of OpenPGP (RFC 9580, and RFC 4880 where old signatures are concerned). The implementation is a separate entry
 * point, `@assay/evidence/openpgp`, because it brings a library; without it OpenPGP evidence is `unsupported`.
 */
import type { DocumentHashes } from "./document-hash.ts";
import type { ProvenTime, RefusalCode, Step } from "./verdict.ts";

/** What an OpenPGP certificate (a transferable public key, RFC 9580 §10.1) holds. */
export type OpenPgpCertificate = {
  /** Fingerprint of the primary key: 40 (v4) or 64 (v6) lower-case hexadecimal digits. */
  readonly fingerprint: string;
  /** Fingerprints of the primary key, which is the first, and of every subkey. */
  readonly fingerprints: readonly string[];
  /** User ids in the certificate's order. Names for people; nothing is decided by them. */
  readonly userIds: readonly string[];
};

export type OpenPgpRequest = {
  /** Detached signatures, binary or armoured, one or several; or a whole clear-signed text. */
  readonly signature: Uint8Array;
  /**
   * The signed document's bytes. An iterable is read at most once and not kept. A clear-signed text carries its own document: beside
   * it this is empty, or exactly the text as written in it (`parseClearSigned`). Whoever need not read it to know its hashes gives those.
   */
  readonly document: Uint8Array | AsyncIterable<Uint8Array> | DocumentHashes;
  /** The armoured certificates to believe, one in each; no others count, and none is looked up anywhere. */
  readonly certificates: readonly string[];
  /** What proves when the signature existed; may be empty. What the signature claims is no such proof. */
  readonly times: readonly ProvenTime[];
};

export type OpenPgpResult =
  | {
      readonly outcome: "good";
      /** Fingerprint of the signer's primary key. */
      readonly fingerprint: string;
      /** Fingerprint of the key that made the signature: the primary key or a subkey. */
      readonly signingKey: string;
      /** When the signature says it was made, in ms since 1970: the signer's word only. */
      readonly created: number | null;
      /** The hash algorithm, as in "SHA512". */
      readonly hash: string;
      readonly steps: readonly Step[];
    }
  | {
      readonly outcome: "bad";
      readonly code: RefusalCode;
      readonly message: string;
      readonly steps: readonly Step[];
    };

export interface OpenPgpPort {
  /**
   * Reads one armoured certificate. Its signatures are not looked at: whether a subkey is truly bound is judged when it has signed
   * something. Throws `key-invalid`, `too-large`.
   */
  readCertificate(armored: string): OpenPgpCertificate;
  /**
   * Whether one of the certificates made a good signature over the document. Whatever is wrong with the signature is an outcome; only a
   * certificate that cannot be read throws, as {@link readCertificate} does, and what the document throws.
   */
  verify(request: OpenPgpRequest): Promise<OpenPgpResult>;
}
