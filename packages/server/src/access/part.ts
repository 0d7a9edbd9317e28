import type { RecordPart } from "../record/command.ts";
import { accessCommands } from "./commands.ts";
import { accessEvents } from "./events.ts";
import { accessOperations } from "./operations.ts";

/** This room's part of the record. `denial` is unrecorded and so no projection. */
export const accessPart: RecordPart = {
  commands: accessCommands,
  events: accessEvents,
  operations: accessOperations,
  projections: ["organisation", "principal", "api_key", "role_membership"],
};
