import type { VerifyRequest } from "@assay/evidence";
import { openPgp } from "@assay/evidence/openpgp";

/** The readers of forms that the evidence package keeps behind ports, as a verification takes them. */
export const formReaders: Pick<VerifyRequest, "openpgp"> = { openpgp: openPgp };
