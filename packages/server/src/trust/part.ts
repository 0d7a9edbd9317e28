import type { RecordPart } from "../record/command.ts";
import { trustCommands } from "./commands.ts";
import { trustEvents } from "./events.ts";

/** Trust's part of the record. */
export const trustPart: RecordPart = {
  commands: trustCommands,
  events: trustEvents,
  operations: [],
  projections: ["trust_version", "trust_entry", "trust_root"],
};
