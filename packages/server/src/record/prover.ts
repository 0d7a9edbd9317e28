import type { RecordReceipt } from "@assay/evidence";
import type { LogProver } from "../log/prover.ts";
import type { Reader } from "../storage/database.ts";
import { redactionOf } from "./redaction.ts";
import { formReceipt } from "./receipt.ts";
import type { RecordTables } from "./schema.ts";

/** How long a receipt asked for right after its append waits for publication, in steps of ms. */
const PUBLICATION_WAIT = { steps: 100, delay: 20 };

/** Receipts of recorded events, made from the published tiles and checked before they are answered. */
export class RecordProver {
  readonly #reader: Reader;
  readonly #log: LogProver;

  constructor(reader: Reader, log: LogProver) {
    this.#reader = reader;
    this.#log = log;
  }

  /** The verifier key of the record's log: what a receipt is checked against. */
  get vkey(): string {
    return this.#log.vkey;
  }

  get origin(): string {
    return this.#log.origin;
  }

  /** The receipt of an event; undefined when there is none of that sequence, or its publication failed. */
  async receipt(sequence: number): Promise<RecordReceipt | undefined> {
    const row = await this.#reader
      .tables<RecordTables>()
      .selectFrom("event")
      .innerJoin("leaf", "leaf.sequence", "event.sequence")
      .select(["event.bytes", "leaf.salt", "leaf.commitment"])
      .where("event.sequence", "=", sequence)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const redaction = row.salt.length === 0 ? await redactionOf(this.#reader, sequence) : undefined;
    for (let step = 0; step < PUBLICATION_WAIT.steps; step += 1) {
      const proof = await this.#log.prove(sequence, row.commitment);
      if (proof !== undefined) return formReceipt({ sequence, ...row, redacted: redaction?.by }, proof);
      await new Promise((resolve) => setTimeout(resolve, PUBLICATION_WAIT.delay));
    }
    return undefined;
  }
}
