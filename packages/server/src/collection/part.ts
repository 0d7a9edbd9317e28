import type { RecordPart } from "../record/command.ts";
import { collectionCommands, type Keeps } from "./commands.ts";
import { collectionEvents } from "./events.ts";
import { collectionOperations } from "./operations.ts";

/** Garbage collection's part of the record. */
export function collectionPart(keeps: Keeps): RecordPart {
  return {
    commands: collectionCommands(keeps),
    events: collectionEvents,
    operations: collectionOperations,
    projections: ["collected_blob"],
  };
}
