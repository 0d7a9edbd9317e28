import { backUp } from "../backup/backup.ts";
import { rememberBackup } from "../backup/last-backup.ts";
import { humanBytes } from "../backup/progress.ts";
import { ServerError } from "../errors.ts";
import type { AdminCommand } from "./command.ts";

/** `assay server backup`: beside a running server or not. Exit 1 when the record or a blob is damaged. */
export const backupCommand: AdminCommand = {
  name: "backup",
  usage: "--to FILE|- [--since ARCHIVE] [--recipient age1…]… [--passphrase-file FILE] [--identity-file FILE]",
  summary: "write everything under the newest checkpoint into one archive (the server may run)",
  options: {
    to: { type: "string" },
    since: { type: "string" },
    recipient: { type: "string", multiple: true },
    "passphrase-file": { type: "string" },
    "identity-file": { type: "string" },
  },
  async run({ config, flag, flags, tell, print }) {
    const to = flag("to");
    if (to === undefined) {
      throw new ServerError("config-invalid", "say where the archive goes: --to FILE, or --to - for standard output");
    }
    const passphraseFile = flag("passphrase-file");
    const report = await backUp({
      ...config,
      to,
      since: flag("since"),
      encryption: { recipients: flags("recipient"), passphraseFile },
      decryption: { identityFile: flag("identity-file"), passphraseFile },
      tell,
    });
    const { id, from, blobs, bytes } = report;
    // The archive is whole, whatever becomes of this; without it the alarm on old backups goes off.
    await rememberBackup(config.dataDirectory, report, Date.now()).catch((error: unknown) => {
      tell(`the time of this backup cannot be noted in ${config.dataDirectory}: ${String(error)}`);
    });
    const text = `events ${from} to ${report.to}, ${blobs} blobs, ${humanBytes(bytes)}; archive ${id}`;
    // Standard output is the archive's own then.
    if (to === "-") tell(text);
    else print({ ok: true, ...report }, `${to}: ${text}`);
    return 0;
  },
};
