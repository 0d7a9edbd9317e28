import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs, registryKeeps } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import { retentionCommands } from "./retention-commands.ts";
import { retentionEvents } from "./retention-events.ts";

/** The registry's part of the record. */
export const registryPart: RecordPart = {
  commands: [...registryCommands, ...retentionCommands],
  events: [...registryEvents, ...retentionEvents],
  operations: registryOperations,
  projections: ["repository", "manifest", "manifest_reference", "tag", "digest_alias", "retention"],
  blobs: registryBlobs,
  keeps: registryKeeps,
  aliases: registryAliases,
};
