import type { RecordPart } from "../record/command.ts";
import { webhookCommands } from "./commands.ts";
import { webhookEvents } from "./events.ts";
import { webhookOperations } from "./operations.ts";

/** This room's part of the record. `webhook_cursor` and `webhook_delivery` are unrecorded and so no projections. */
export const webhooksPart: RecordPart = {
  commands: webhookCommands,
  events: webhookEvents,
  operations: webhookOperations,
  projections: ["webhook"],
};
