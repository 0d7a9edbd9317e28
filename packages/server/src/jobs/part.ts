import type { RecordPart } from "../record/command.ts";
import { letterCommands, letterEvents, type MayAdminister } from "./letters.ts";
import { jobOperations } from "./operations.ts";

/** The queue's part of the record. Its tables are unrecorded and so no projections. */
export function jobsPart(may: MayAdminister): RecordPart {
  return { commands: letterCommands(may), events: letterEvents, operations: jobOperations, projections: [] };
}
