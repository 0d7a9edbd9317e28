import type { RecordPart } from "../record/command.ts";
import { registryCommands } from "./commands.ts";
import { type DeletionHolds, deletionCommands } from "./deletion-commands.ts";
import { deletionEvents } from "./deletion-events.ts";
import { registryEvents } from "./events.ts";
import { registryAliases, registryBlobs, registryKeeps } from "./named-blobs.ts";
import { registryOperations } from "./operations.ts";
import { promotionCommands, type PromotionGate } from "./promotion-commands.ts";
import { promotionEvents } from "./promotion-events.ts";
import type { PushRule } from "./push-rule.ts";
import { quotaCommands } from "./quota-commands.ts";
import { quotaEvents } from "./quota-events.ts";
import { renameCommands, type RenameRule } from "./rename-commands.ts";
import { renameEvents } from "./rename-events.ts";
import { repositoryCommands } from "./repository-commands.ts";
import { repositoryEvents } from "./repository-events.ts";
import { retentionCommands } from "./retention-commands.ts";
import { retentionEvents } from "./retention-events.ts";

/** What the registry asks of rooms above it, inside the appending transaction. */
export interface RegistryHooks {
  /** What speaks against deleting a manifest. */
  readonly holds: DeletionHolds;
  /** Whether a decision allows a promotion. */
  readonly promotionGate: PromotionGate;
  /** Why a push that a role allows is refused all the same. */
  readonly pushRule: PushRule;
  /** What stands against a repository's other name. */
  readonly renameRule: RenameRule;
}

/** The registry's part of the record. */
export const registryPart = ({ holds, promotionGate, pushRule, renameRule }: RegistryHooks): RecordPart => ({
  commands: [
    ...registryCommands(pushRule),
    ...repositoryCommands,
    ...deletionCommands(holds),
    ...promotionCommands(promotionGate, pushRule),
    ...renameCommands(renameRule),
    ...retentionCommands(holds),
    ...quotaCommands,
  ],
  events: [
    ...registryEvents,
    ...repositoryEvents,
    ...deletionEvents,
    ...promotionEvents,
    ...renameEvents,
    ...retentionEvents,
    ...quotaEvents,
  ],
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
    "retention",
    "quota",
    "quota_usage",
    "quota_content",
  ],
  blobs: registryBlobs,
  keeps: registryKeeps,
  aliases: registryAliases,
});
