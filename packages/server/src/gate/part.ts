import type { RecordPart } from "../record/command.ts";
import { gateCommands } from "./commands.ts";
import { gateEvents } from "./events.ts";
import { decisionBlobs, decisionKeeps } from "./named-blobs.ts";
import { gateOperations } from "./operations.ts";

/** The gate's part of the record. */
export const gatePart: RecordPart = {
  commands: gateCommands,
  events: gateEvents,
  operations: gateOperations,
  projections: ["gate_policy", "gate_decision"],
  blobs: decisionBlobs,
  keeps: decisionKeeps,
};
