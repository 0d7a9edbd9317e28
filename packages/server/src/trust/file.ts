import { rootJson, TRUST_MEDIA_TYPE, type TrustVersion } from "@assay/evidence";
import { z } from "zod";
import { entrySchema } from "./entry.ts";
import { rootSchema } from "./root.ts";

/** The trust file, as answers carry it. */
export const trustFile = z
  .strictObject({
    mediaType: z.literal(TRUST_MEDIA_TYPE),
    org: z.string(),
    version: z.int().nonnegative(),
    entries: z.array(entrySchema),
    logs: z.array(z.string()),
    roots: z.array(rootSchema),
  })
  .describe("A trust file: save it and verify offline against it.");

export type TrustFile = z.output<typeof trustFile>;

/** A trust version as the file that offline verification reads. */
export function fileOf(trust: TrustVersion): TrustFile {
  const { org, version, entries, logs, roots } = trust;
  return trustFile.parse({ mediaType: TRUST_MEDIA_TYPE, org, version, entries, logs, roots: roots.map(rootJson) });
}
