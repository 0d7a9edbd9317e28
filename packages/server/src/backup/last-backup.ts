import { join } from "node:path";
import { z } from "zod";
import { readIfThere, writeDurable } from "../storage/durable.ts";

/**
 * When a backup of this data directory last ended well. It lies beside the database, so an alarm finds out about backups that are not made
 * any more, whatever was to make them. Nothing else rests on it, and it is in no backup.
 */
const lastBackupSchema = z.strictObject({ time: z.int().nonnegative(), to: z.int().nonnegative(), id: z.string() });

function lastBackupPath(dataDirectory: string): string {
  return join(dataDirectory, "last-backup.json");
}

/** @param backup its archive's id, and how many events it reaches to. */
export async function rememberBackup(
  dataDirectory: string,
  { id, to }: { readonly id: string; readonly to: number },
  time: number,
): Promise<void> {
  const last: z.output<typeof lastBackupSchema> = { time, to, id };
  await writeDurable(lastBackupPath(dataDirectory), `${JSON.stringify(last)}\n`);
}

/** When a backup last ended well, ms; undefined when none is known of: what cannot be read counts for none. */
export async function lastBackup(dataDirectory: string): Promise<number | undefined> {
  try {
    const text = await readIfThere(lastBackupPath(dataDirectory));
    return text === undefined ? undefined : lastBackupSchema.parse(JSON.parse(text)).time;
  } catch {
    // An alarm on an absent number goes off, as it should.
    return undefined;
  }
}
