import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import { repositoryCommands } from "./repository-commands.ts";
import { repositoryEvents } from "./repository-events.ts";

/** The registry's part of the record. */
export const registryPart: RecordPart = {
  commands: [...registryCommands, ...repositoryCommands],
  events: [...registryEvents, ...repositoryEvents],
  operations: registryOperations,
  projections: [
    "repository",
    "repository_setting",
    "deletion",
    "refused_move",
    "manifest",
    "manifest_reference",
    "tag",
    "digest_alias",
  ],
  blobs: registryBlobs,
  aliases: registryAliases,
};
