/** What evidence says, read out of what is signed. Who signed it is another matter. */
import { parseSimpleSigning, SIMPLE_SIGNING_PREDICATE } from "./simple-signing.ts";
import type { Crypto } from "./crypto.ts";
import { type Digest, digestHex, digestOf, parseDigest } from "./digest.ts";
import { IN_TOTO_PAYLOAD_TYPE } from "./dsse.ts";
import { toHex } from "./encoding.ts";
import { EvidenceError } from "./errors.ts";
import { emptyObject, type JsonObject } from "./json.ts";
import { notationPredicate } from "./notation.ts";
import type { Reading } from "./reading.ts";
import { MESSAGE_SIGNATURE_PREDICATE, NOTATION_PREDICATE, parseStatement, type Subject } from "./statement.ts";

/** In the form of a statement, whatever form it came in. */
export type Said = {
  readonly predicateType: string;
  readonly predicate: JsonObject;
  /** Undefined where only the artifact's own bytes could tell: a signature over a message that states no digest of it. */
  readonly subjects: readonly Subject[] | undefined;
  /** Digest of what is signed; null where {@link subjects} is undefined. */
  readonly payloadDigest: Digest | null;
};

/** Reads what is said. Throws `statement-invalid`, `bundle-unsupported`, `too-large` and the errors of `parseJson`. */
export function said(crypto: Crypto, reading: Reading): Said {
  switch (reading.form) {
    case "openpgp":
      return aboutBytes(reading.subject);
    case "notation": {
      const { notation } = reading;
      return {
        predicateType: NOTATION_PREDICATE,
        predicate: notationPredicate(notation),
        subjects: [{ digest: { sha256: digestHex(reading.subject) } }],
        payloadDigest: digestOf(crypto, notation.payloadBytes),
      };
    }
    default:
  }
  const { content } = reading.bundle;
  switch (content.kind) {
    case "message": {
      if (reading.subject !== undefined) return aboutBytes(reading.subject);
      const { messageDigest } = content;
      return messageDigest?.algorithm === "SHA2_256"
        ? aboutBytes(parseDigest(`sha256:${toHex(messageDigest.digest)}`))
        : aboutBytes(undefined);
    }
    case "simple-signing": {
      const { digest, predicate } = parseSimpleSigning(content.payload);
      return {
        predicateType: SIMPLE_SIGNING_PREDICATE,
        predicate,
        subjects: [{ digest: { sha256: digestHex(digest) } }],
        payloadDigest: digestOf(crypto, content.payload),
      };
    }
    case "dsse": {
      const { payloadType, payload } = content.envelope;
      if (payloadType !== IN_TOTO_PAYLOAD_TYPE) {
        throw new EvidenceError(
          "bundle-unsupported",
          `The payload type ${JSON.stringify(payloadType.slice(0, 100))} is not supported.`,
        );
      }
      const { predicateType, subjects, predicate } = parseStatement(payload);
      return { predicateType, subjects, predicate, payloadDigest: digestOf(crypto, payload) };
    }
  }
}

function aboutBytes(digest: Digest | undefined): Said {
  return {
    predicateType: MESSAGE_SIGNATURE_PREDICATE,
    predicate: emptyObject(),
    subjects: digest === undefined ? undefined : [{ digest: { sha256: digestHex(digest) } }],
    payloadDigest: digest ?? null,
  };
}
