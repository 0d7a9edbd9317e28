import {
  EvidenceError,
  formatTrustFile,
  parseTrustFile,
  type TrustVersion,
  utf8Decode,
  utf8Encode,
} from "@assay/evidence";
import { answerInvalid } from "../answer.ts";
import type { OrganisationClient } from "../organisation.ts";
import type { JsonValue } from "../output.ts";

/** The organisation's trust, current or at a version. Errors: `answer-invalid`, those of the server. */
export async function readTrust(
  { client, org, path }: OrganisationClient,
  version: number | undefined,
): Promise<TrustVersion> {
  const query = { version: version === undefined ? undefined : String(version) };
  const answer = await client.json({ method: "GET", path: path("trust"), query });
  let trust: TrustVersion;
  try {
    // Read as the offline verifier will read it: what it would refuse must not be handed on.
    trust = parseTrustFile(utf8Encode(JSON.stringify(answer ?? null)));
  } catch (error) {
    if (error instanceof EvidenceError) throw answerInvalid(error.message, error);
    throw error;
  }
  if (trust.org !== org) throw answerInvalid("it is another organisation's trust");
  return trust;
}

/** A trust version as the JSON of its file. */
export function trustJson(trust: TrustVersion): JsonValue {
  return JSON.parse(utf8Decode(formatTrustFile(trust))) as JsonValue;
}
