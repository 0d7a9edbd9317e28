import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs, registryKeeps } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";

/** The registry's part of the record. */
export const registryPart: RecordPart = {
  commands: registryCommands,
  events: registryEvents,
  operations: registryOperations,
  projections: ["repository", "manifest", "manifest_reference", "tag", "digest_alias"],
  blobs: registryBlobs,
  keeps: registryKeeps,
  aliases: registryAliases,
};
