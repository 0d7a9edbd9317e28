import { composeParts, MIGRATIONS, refillTables } from "../composition.ts";
import { ServerError } from "../errors.ts";
import { MasterKey } from "../keys/master.ts";
import { succeedLog } from "../record/succeed.ts";
import type { Succession } from "../record/succession.ts";
import { migrate } from "../storage/migrate.ts";
import { type DatabasePlace, lockPlace, openWriter } from "../storage/open.ts";
import type { AdminCommand } from "./command.ts";
import { readKeptCheckpoint } from "./kept-checkpoint.ts";

/** What is closed, and why. */
export interface SucceedOptions extends DatabasePlace {
  readonly masterKey?: string | undefined;
  readonly reason: string;
  readonly against?: string | undefined;
  readonly tell: (line: string) => void;
}

/** `assay server succeed`, with the server stopped. */
export const succeedCommand: AdminCommand = {
  name: "succeed",
  usage: "--reason TEXT [--against CHECKPOINT]",
  summary: "close a log whose newest entries are lost and open its successor (server stopped)",
  options: { reason: { type: "string" }, against: { type: "string" } },
  async run({ config, flag, tell, print }) {
    const reason = flag("reason");
    if (reason === undefined || reason === "") {
      throw new ServerError("config-invalid", "say why, for whoever reads the record: --reason TEXT");
    }
    const against = flag("against");
    const succession = await succeedDirectory({
      ...config,
      reason,
      against: against === undefined ? undefined : readKeptCheckpoint(against),
      tell,
    });
    const { previous } = succession;
    print(
      { ok: true, ...succession },
      `${previous.origin} is closed: ${previous.kept} of its entries are kept, ${previous.lost} are lost\n` +
        `${succession.origin} goes on in its place, under the key\n  ${succession.vkey}\n` +
        "Give that key to everyone who verifies receipts, and keep the old one: it verifies the receipts from before.",
    );
    return 0;
  },
};

/** Closes the log of a place and opens its successor. */
export async function succeedDirectory(options: SucceedOptions): Promise<Succession> {
  const { dataDirectory } = options;
  const lock = lockPlace(options);
  const database = openWriter(options);
  try {
    await migrate(database, MIGRATIONS, { refill: refillTables });
    const master = MasterKey.choose(options.masterKey, dataDirectory, false);
    return await succeedLog({
      database,
      dataDirectory,
      master,
      parts: composeParts(),
      reason: options.reason,
      against: options.against,
      tell: options.tell,
    });
  } finally {
    await database.close();
    lock.release();
  }
}
