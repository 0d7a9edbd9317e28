import { nodeCrypto } from "@assay/evidence/node";
import { accessPart } from "./access/part.ts";
import { hasEvidence } from "./attestations/queries.ts";
import { attestationsPart } from "./attestations/part.ts";
import { gatePart } from "./gate/part.ts";
import { promotionGate } from "./gate/promotion-gate.ts";
import { gateRenameRule } from "./gate/rename-rule.ts";
import { collectionPart } from "./collection/part.ts";
import { authorize } from "./access/authorize.ts";
import { holdLog } from "./log/log.ts";
import type { Batch, WriteDatabase } from "./storage/database.ts";
import { jobsPart } from "./jobs/part.ts";
import { SYSTEM_ORG } from "./record/command.ts";
import { mirrorsPart } from "./mirrors/part.ts";
import { mirrorPushRule } from "./mirrors/push-rule.ts";
import { mirrorRenameRule } from "./mirrors/rename-rule.ts";
import { keysPart } from "./record/service-keys.ts";
import { recordPart } from "./record/heads.ts";
import { refill } from "./record/refill.ts";
import { redactionPart } from "./record/redaction.ts";
import { successionPart } from "./record/succession.ts";
import { RECORD_LOG } from "./record/open.ts";
import { RecordParts } from "./record/parts.ts";
import { registryPart } from "./registry/part.ts";
import { accessMigration } from "./storage/migrations/0002-access.ts";
import { trustMigration } from "./storage/migrations/0003-trust.ts";
import { registryMigration } from "./storage/migrations/0004-registry.ts";
import { attestationsMigration } from "./storage/migrations/0005-attestations.ts";
import { gateMigration } from "./storage/migrations/0006-gate.ts";
import { jobsMigration } from "./storage/migrations/0007-jobs.ts";
import { recordMigration } from "./storage/migrations/0001-record.ts";
import { witnessMigration } from "./storage/migrations/0008-witness.ts";
import { redactionMigration } from "./storage/migrations/0010-redaction.ts";
import { firstStateMigration } from "./storage/migrations/0011-first-state.ts";
import { rolesMigration } from "./storage/migrations/0014-roles.ts";
import { digestAliasMigration } from "./storage/migrations/0015-digest-alias.ts";
import { repositoriesMigration } from "./storage/migrations/0017-repositories.ts";
import { webhooksMigration } from "./storage/migrations/0016-webhooks.ts";
import { pullGateMigration } from "./storage/migrations/0019-pull-gate.ts";
import { mirrorsMigration } from "./storage/migrations/0020-mirrors.ts";
import { boundsMigration } from "./storage/migrations/0021-bounds.ts";
import { quotasMigration } from "./storage/migrations/0022-quotas.ts";
import { subjectKeyMigration } from "./storage/migrations/0023-subject-key.ts";
import { evidenceIndexMigration } from "./storage/migrations/0012-evidence-index.ts";
import { trustKindsMigration } from "./storage/migrations/0013-trust-kinds.ts";
import { collectionMigration } from "./storage/migrations/0018-collection.ts";
import type { Migration } from "./storage/migrations/migration.ts";
import { trustPart } from "./trust/part.ts";
import { webhooksPart } from "./webhooks/part.ts";
import { witnessPart } from "./witness/operations.ts";

/** Every room's part of the record: the same list in every process that decides, projects or rebuilds. */
export function composeParts(): RecordParts {
  const parts: RecordParts = new RecordParts([
    recordPart,
    redactionPart,
    successionPart,
    keysPart,
    accessPart,
    trustPart,
    registryPart({
      holds: {
        hasEvidence,
        // No room knows yet what runs where: `environments` fills this when it is there.
        runsIn: async () => [],
      },
      promotionGate,
      pushRule: mirrorPushRule,
      renameRule: async (reader, rename) =>
        (await gateRenameRule(reader, rename)) ?? (await mirrorRenameRule(reader, rename)),
    }),
    attestationsPart,
    gatePart,
    webhooksPart,
    mirrorsPart,
    witnessPart,
    jobsPart((reader, actor) => authorize(reader, actor, "jobs.administer", { org: SYSTEM_ORG })),
    collectionPart((reader, digests, at) => parts.keeps(reader, digests, at)),
  ]);
  return parts;
}

/** The schema's steps, in order. */
export const MIGRATIONS: readonly Migration[] = [
  recordMigration,
  accessMigration,
  trustMigration,
  registryMigration,
  attestationsMigration,
  gateMigration,
  jobsMigration,
  witnessMigration,
  redactionMigration,
  firstStateMigration,
  evidenceIndexMigration,
  trustKindsMigration,
  rolesMigration,
  digestAliasMigration,
  webhooksMigration,
  repositoriesMigration,
  collectionMigration,
  pullGateMigration,
  mirrorsMigration,
  boundsMigration,
  quotasMigration,
  subjectKeyMigration,
];

/** Every table refilled from the events, for schema steps that ask for it. On a shared database no other host writes meanwhile. */
export async function refillTables(batch: Batch, database: WriteDatabase): Promise<void> {
  if (database.shared) await holdLog(batch, RECORD_LOG);
  await refill(batch, composeParts(), nodeCrypto);
}
