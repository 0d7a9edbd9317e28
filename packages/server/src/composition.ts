import { accessPart } from "./access/part.ts";
import { attestationsPart } from "./attestations/part.ts";
import { gatePart } from "./gate/part.ts";
import { keysPart } from "./record/service-keys.ts";
import { recordPart } from "./record/heads.ts";
import { RecordParts } from "./record/parts.ts";
import { registryPart } from "./registry/part.ts";
import { accessMigration } from "./storage/migrations/0002-access.ts";
import { trustMigration } from "./storage/migrations/0003-trust.ts";
import { registryMigration } from "./storage/migrations/0004-registry.ts";
import { attestationsMigration } from "./storage/migrations/0005-attestations.ts";
import { gateMigration } from "./storage/migrations/0006-gate.ts";
import { recordMigration } from "./storage/migrations/0001-record.ts";
import type { Migration } from "./storage/migrations/migration.ts";
import { trustPart } from "./trust/part.ts";

/** Every room's part of the record: the same list in every process that decides, projects or rebuilds. */
export function composeParts(): RecordParts {
  return new RecordParts([recordPart, keysPart, accessPart, trustPart, registryPart, attestationsPart, gatePart]);
}

/** The schema's steps, in order. */
export const MIGRATIONS: readonly Migration[] = [
  recordMigration,
  accessMigration,
  trustMigration,
  registryMigration,
  attestationsMigration,
  gateMigration,
];
