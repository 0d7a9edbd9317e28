import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { type DeletionHolds, deletionCommands } from "./deletion-commands.ts";
import { deletionEvents } from "./deletion-events.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import { promotionCommands, type PromotionGate } from "./promotion-commands.ts";
import { promotionEvents } from "./promotion-events.ts";
import type { PushRule } from "./push-rule.ts";
import { renameCommands } from "./rename-commands.ts";
import { renameEvents } from "./rename-events.ts";
import { repositoryCommands } from "./repository-commands.ts";
import { repositoryEvents } from "./repository-events.ts";

/** What the registry asks of rooms above it, inside the appending transaction. */
export interface RegistryHooks {
  /** What speaks against deleting a manifest. */
  readonly holds: DeletionHolds;
  /** Whether a decision allows a promotion. */
  readonly promotionGate: PromotionGate;
  /** Why a push that a role allows is refused all the same. */
  readonly pushRule: PushRule;
}

/** The registry's part of the record. */
export const registryPart = ({ holds, promotionGate, pushRule }: RegistryHooks): RecordPart => ({
  commands: [
    ...registryCommands(pushRule),
    ...repositoryCommands,
    ...deletionCommands(holds),
    ...promotionCommands(promotionGate),
    ...renameCommands,
  ],
  events: [...registryEvents, ...repositoryEvents, ...deletionEvents, ...promotionEvents, ...renameEvents],
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
});
