import type { AdminCommand } from "./command.ts";
import { type RotationStep, rotateMasterKey } from "../keys/rotation.ts";
import { keyDirectory } from "../record/open.ts";
import { type DatabasePlace, lockPlace, openWriter } from "../storage/open.ts";

export interface RotateOptions extends DatabasePlace {
  /** ASSAY_MASTER_KEY and ASSAY_NEW_MASTER_KEY, where they are set. */
  readonly masterKey?: string | undefined;
  readonly newMasterKey?: string | undefined;
  readonly tell: (line: string) => void;
}

/** `assay server rotate-master-key`. */
export const rotateMasterKeyCommand: AdminCommand = {
  name: "rotate-master-key",
  usage: "",
  summary: "encrypt the private keys under another master key: ASSAY_NEW_MASTER_KEY, else a fresh one in master.key",
  options: {},
  async run({ config, tell, print }) {
    const steps = await rotateDirectory({ ...config, tell });
    const keys = steps.filter(({ step }) => step === "resealed").length;
    const where = config.newMasterKey === undefined ? "master.key" : "ASSAY_NEW_MASTER_KEY";
    if (steps.length === 0) {
      // A change that was finished before, or somebody who set the wrong variable: nobody may take this for a change made now.
      print(
        { ok: true, resealed: 0, changed: false, masterKey: where },
        `nothing was changed: the private keys are under ${where} already${
          config.newMasterKey === undefined
            ? ", and not under ASSAY_MASTER_KEY\nto change to a key of your own, give it as ASSAY_NEW_MASTER_KEY; to a fresh one, leave both out"
            : ""
        }`,
      );
      return 0;
    }
    print(
      { ok: true, resealed: keys, masterKey: where },
      `${keys} private keys are under the new master key now (${where})\n${
        config.newMasterKey === undefined
          ? "start servers without ASSAY_MASTER_KEY"
          : "start servers with that key as ASSAY_MASTER_KEY"
      }; keep the old master key as long as backups made before are kept`,
    );
    return 0;
  },
};

/**
 * Changes the master key of a data directory. With SQLite no server may run. With PostgreSQL servers may: they opened their keys when they
 * started; none makes a key meanwhile, and hosts that share the directory do this once, hosts with copies each for its own.
 *
 * @throws ServerError `data-directory-busy`, and what {@link rotateMasterKey} throws.
 */
export async function rotateDirectory(options: RotateOptions): Promise<RotationStep[]> {
  const { dataDirectory, databaseUrl, masterKey, newMasterKey, tell } = options;
  const lock = lockPlace(options);
  try {
    const rotate = async (): Promise<RotationStep[]> => {
      const steps: RotationStep[] = [];
      const keys = keyDirectory(dataDirectory);
      for await (const step of rotateMasterKey({
        dataDirectory,
        keyDirectory: keys,
        configured: masterKey,
        next: newMasterKey,
      })) {
        tell(`${step.step}: ${"name" in step ? step.name : step.path}`);
        steps.push(step);
      }
      return steps;
    };
    if (databaseUrl === undefined) return await rotate();
    // Under the lock that founding a record and making a missing key take (record/open.ts).
    const database = openWriter({ dataDirectory, databaseUrl });
    try {
      return await database.alone(rotate);
    } finally {
      await database.close();
    }
  } finally {
    lock.release();
  }
}
