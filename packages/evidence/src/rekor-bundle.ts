/**
 * The log entry as cosign 2 keeps it beside a signature ("Rekor bundle": the annotation `dev.sigstore.cosign/bundle`, and `rekorBundle` in the
 * files of `cosign sign-blob --bundle`), turned into the one form that `verifyLogEntry` reads.
 */
import { fromHex, toBase64 } from "./encoding.ts";
import { type JsonObject, parseJson } from "./json.ts";
import { LIMITS } from "./limits.ts";
import { Members } from "./members.ts";
import { bodyKind } from "./tlog-body.ts";

/** The entry in the JSON form of TransparencyLogEntry: with an inclusion promise and no proof. Throws `bundle-invalid` and the errors of `parseJson`. */
export function entryOfRekorBundle(text: string): JsonObject {
  const json = parseJson(text, { maxBytes: 2 * LIMITS.logEntryBytes, maxDepth: LIMITS.jsonDepth });
  const members = new Members(json, "rekorBundle", "bundle-invalid").only(["SignedEntryTimestamp", "Payload"]);
  const payload = members.object("Payload").only(["body", "integratedTime", "logIndex", "logID"]);
  const body = payload.bytes("body", LIMITS.logEntryBytes);
  const { kind, version } = bodyKind(body);
  return {
    logIndex: String(payload.count("logIndex")),
    logId: { keyId: toBase64(hexBytes(payload, "logID")) },
    kindVersion: { kind, version },
    integratedTime: String(payload.count("integratedTime")),
    inclusionPromise: { signedEntryTimestamp: toBase64(members.bytes("SignedEntryTimestamp", LIMITS.signatureBytes)) },
    canonicalizedBody: toBase64(body),
  };
}

const HEX = /^(?:[0-9a-f]{2})+$/;

function hexBytes(members: Members, name: string): Uint8Array {
  const text = members.string(name, 64);
  if (!HEX.test(text)) throw members.wrong(name, "is not lower-case hexadecimal");
  return fromHex(text);
}
