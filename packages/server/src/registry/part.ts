import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import type { PushRule } from "./push-rule.ts";

/** The registry's part of the record. @param rule what rooms above it say of pushes. */
export function registryPart(rule: PushRule): RecordPart {
  return {
    commands: registryCommands(rule),
    events: registryEvents,
    operations: registryOperations,
    projections: ["repository", "manifest", "manifest_reference", "tag", "digest_alias"],
    blobs: registryBlobs,
    aliases: registryAliases,
  };
}
