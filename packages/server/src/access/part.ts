import type { RecordPart } from "../record/command.ts";
import { accessCommands } from "./commands.ts";
import { accessEvents } from "./events.ts";
import { accessOperations } from "./operations.ts";

/** This room's part of the record. `denial` and `bootstrap_use_count` are unrecorded and so no projections. */
export const accessPart: RecordPart = {
  commands: accessCommands,
  events: accessEvents,
  operations: accessOperations,
  projections: [
    "organisation",
    "principal",
    "api_key",
    "role_membership",
    "repository_role",
    "workload_identity",
    "token_exchange",
    "bootstrap_use",
  ],
};
