import { restore } from "../backup/restore.ts";
import { ServerError } from "../errors.ts";
import type { AdminCommand } from "./command.ts";

/** `assay server restore`, with the server stopped. */
export const restoreCommand: AdminCommand = {
  name: "restore",
  usage: "ARCHIVE… [--identity-file FILE | --passphrase-file FILE] [--vkey VKEY]",
  summary: "restore archives, the full one first, into the configured (empty) place (server stopped)",
  options: {
    "identity-file": { type: "string" },
    "passphrase-file": { type: "string" },
    vkey: { type: "string" },
  },
  positionals: 10_000,
  async run({ config, positionals, flag, tell, print }) {
    if (positionals.length === 0) throw new ServerError("config-invalid", "name the archives, the full one first");
    const { newest, ...report } = await restore({
      ...config,
      archives: positionals,
      decryption: { identityFile: flag("identity-file"), passphraseFile: flag("passphrase-file") },
      vkey: flag("vkey"),
      tell,
    });
    const done = `restored ${report.events} events and ${report.blobs} blobs of ${report.origin}`;
    print(
      { ok: true, ...report, newest: newest ?? null },
      newest === undefined
        ? `${done}: start the server, then run \`assay server check\``
        : `${done}, but a checkpoint over ${newest} entries was signed here: the server will not start (log-behind-checkpoint).\n${WAYS_OUT}`,
    );
    return 0;
  },
};

const WAYS_OUT =
  "Either empty the database and restore again with the newer archives added, or close the log with `assay server succeed`.";
