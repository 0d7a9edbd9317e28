import { toHex } from "@assay/evidence";
import { tryChain } from "../backup/trial.ts";
import type { ArchiveFinding } from "../backup/verify.ts";
import { ServerError } from "../errors.ts";
import type { AdminCommand } from "./command.ts";
import { readKeptCheckpoint } from "./kept-checkpoint.ts";

/** Findings that are named; a damaged archive can have any number. */
const NAMED = 1000;

/** `assay server verify-backup`: exit 1 when anything is wrong. Nothing is restored, and nothing written. */
export const verifyBackupCommand: AdminCommand = {
  name: "verify-backup",
  usage: "ARCHIVE… [--identity-file FILE | --passphrase-file FILE] [--against CHECKPOINT] [--vkey VKEY]",
  summary: "re-verify archives, the full one first, without restoring them; exit 1 when anything is wrong",
  options: {
    "identity-file": { type: "string" },
    "passphrase-file": { type: "string" },
    against: { type: "string" },
    vkey: { type: "string" },
  },
  positionals: 10_000,
  async run({ positionals, flag, tell, print }) {
    if (positionals.length === 0) throw new ServerError("config-invalid", "name the archives, the full one first");
    const against = flag("against");
    const findings: ArchiveFinding[] = [];
    let count = 0;
    const vkey = flag("vkey");
    const chain = await tryChain({
      archives: positionals,
      decryption: { identityFile: flag("identity-file"), passphraseFile: flag("passphrase-file") },
      vkey,
      against: against === undefined ? undefined : readKeptCheckpoint(against),
      tell,
      found(finding) {
        count += 1;
        if (findings.length < NAMED) findings.push(finding);
      },
    });
    const signed =
      chain === undefined
        ? ""
        : `signed under ${chain.vkey}${vkey === undefined ? "\n  (the archive says so itself: hold that key against one you trust, or give it with --vkey)" : ""}\n`;
    const lines = findings.map(({ archive, where, problem }) => `${archive}: ${where}\n  ${problem}\n`).join("");
    print(
      {
        ok: count === 0,
        ...(chain === undefined ? {} : { ...chain, root: toHex(chain.root) }),
        findings: findings.map((finding) => ({ ...finding })),
      },
      count === 0
        ? `${signed}everything holds: ${chain?.size ?? 0} events, ${chain?.blobs ?? 0} blobs, as of ${chain?.time ?? ""}`
        : `${signed}${lines}${count} ${count === 1 ? "finding" : "findings"}`,
    );
    return count === 0 ? 0 : 1;
  },
};
