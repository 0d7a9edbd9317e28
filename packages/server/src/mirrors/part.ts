import type { RecordPart } from "../record/command.ts";
import { mirrorCommands } from "./commands.ts";
import { mirrorEvents } from "./events.ts";
import { mirrorOperations } from "./operations.ts";
import { replicationCommands } from "./replication-commands.ts";
import { replicationEvents } from "./replication-events.ts";

/** This room's part of the record. `mirror_credential`, `mirror_look` and `mirror_run` are unrecorded and so no projections. */
export const mirrorsPart: RecordPart = {
  commands: [...mirrorCommands, ...replicationCommands],
  events: [...mirrorEvents, ...replicationEvents],
  operations: mirrorOperations,
  projections: ["mirror", "mirror_refused_tag", "replication"],
};
