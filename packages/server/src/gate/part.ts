import type { RecordPart } from "../record/command.ts";
import { gateCommands } from "./commands.ts";
import { gateEvents } from "./events.ts";
import { decisionBlobs, decisionKeeps } from "./named-blobs.ts";
import { gateOperations } from "./operations.ts";
import { pullGateCommands } from "./pull-gate-commands.ts";
import { pullGateEvents } from "./pull-gate-events.ts";

/** The gate's part of the record. */
export const gatePart: RecordPart = {
  commands: [...gateCommands, ...pullGateCommands],
  events: [...gateEvents, ...pullGateEvents],
  operations: gateOperations,
  projections: ["gate_policy", "gate_decision", "pull_gate"],
  blobs: decisionBlobs,
  keeps: decisionKeeps,
};
