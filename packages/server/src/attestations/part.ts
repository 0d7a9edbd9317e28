import type { RecordPart } from "../record/command.ts";
import { carryCommands, carryEvents } from "./carrying.ts";
import { attestationCommands } from "./commands.ts";
import { attestationEvents } from "./events.ts";
import { evidenceBlobs, evidenceKeeps } from "./named-blobs.ts";

/** The attestations room's part of the record. */
export const attestationsPart: RecordPart = {
  commands: [...attestationCommands, ...carryCommands],
  events: [...attestationEvents, ...carryEvents],
  operations: [],
  projections: [
    "evidence",
    "evidence_subject",
    "evidence_step",
    "evidence_field",
    "evidence_signer",
    "evidence_repository",
    "primary_provenance",
  ],
  blobs: evidenceBlobs,
  keeps: evidenceKeeps,
};
