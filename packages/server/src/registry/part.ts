import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import type { PushRule } from "./push-rule.ts";
import { repositoryCommands } from "./repository-commands.ts";
import { repositoryEvents } from "./repository-events.ts";

/** The registry's part of the record. @param rule what rooms above it say of pushes. */
export function registryPart(rule: PushRule): RecordPart {
  return {
    commands: [...registryCommands(rule), ...repositoryCommands],
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
}
