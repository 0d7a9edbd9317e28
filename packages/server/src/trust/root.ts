import {
  EvidenceError,
  type JsonValue,
  parseTrustedRoot,
  readTrustRoot,
  rootJson,
  type TrustRoot,
  utf8Encode,
  x509Root,
} from "@assay/evidence";
import { z } from "zod";

/** Roots an organisation may have at one time. */
export const MAX_ROOTS = 20;

/** Bytes of a root's JSON: it must fit an event. Sigstore's public one takes 15 kB. */
export const MAX_ROOT_BYTES = 512 * 1024;

const jsonObject = z.record(z.string(), z.unknown());

/** What a root is made of: Sigstore's trusted_root.json, or certificates of one's own authorities. */
export const rootInput = z.union([
  z.strictObject({
    trustedRoot: jsonObject.describe("A Sigstore trusted_root.json."),
  }),
  z.strictObject({
    certificates: z.string().min(1).max(MAX_ROOT_BYTES).describe("Certificate authorities, PEM."),
    timestampCertificates: z
      .string()
      .max(MAX_ROOT_BYTES)
      .optional()
      .describe("Timestamp authorities (RFC 3161) whose word counts as proven time, PEM."),
  }),
]);

export type RootInput = z.output<typeof rootInput>;

/** A root as events carry it: the JSON that trust files hold. */
export const rootSchema = z.record(z.string(), z.json());

export type RootJson = z.output<typeof rootSchema>;

/** A root read from what was sent, or why it cannot be one. */
export type RootReading =
  | { readonly ok: true; readonly root: TrustRoot; readonly json: RootJson }
  | { readonly ok: false; readonly code: "trust-root-invalid"; readonly message: string; readonly hint: string };

/** Reads a root strictly: what cannot be read whole is refused whole, for a log left out would no longer be demanded. */
export function readRootInput(name: string, input: RootInput): RootReading {
  return reading(() =>
    "trustedRoot" in input
      ? parseTrustedRoot(utf8Encode(JSON.stringify(input.trustedRoot)), name)
      : x509Root(
          name,
          [input.certificates],
          input.timestampCertificates === undefined ? [] : [input.timestampCertificates],
        ),
  );
}

/** Reads a root as trust files hold it. */
export function readStoredRoot(json: JsonValue): TrustRoot {
  return readTrustRoot(json);
}

function reading(read: () => TrustRoot): RootReading {
  try {
    const root = read();
    return { ok: true, root, json: rootSchema.parse(rootJson(root)) };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { ok: false, code: "trust-root-invalid", message: error.message, hint: error.hint };
  }
}
