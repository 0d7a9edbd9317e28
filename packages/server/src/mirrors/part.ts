import type { RecordPart } from "../record/command.ts";
import { mirrorCommands } from "./commands.ts";
import { mirrorEvents } from "./events.ts";
import { mirrorOperations } from "./operations.ts";

/** This room's part of the record. `mirror_credential` and `mirror_look` are unrecorded and so no projections. */
export const mirrorsPart: RecordPart = {
  commands: mirrorCommands,
  events: mirrorEvents,
  operations: mirrorOperations,
  projections: ["mirror", "mirror_refused_tag"],
};
