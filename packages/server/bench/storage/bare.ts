/** What the storage modes are measured against: the device by itself, and PostgreSQL by itself. */
import { randomBytes } from "node:crypto";
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { MIGRATIONS } from "../../src/composition.ts";
import { migrate } from "../../src/storage/migrate.ts";
import { openWriter } from "../../src/storage/open.ts";
import { randomDigest } from "./seed.ts";

const MIB = 1024 * 1024;

/** Appends 4 KiB and syncs, `rounds` times. @returns ms of each. */
export function syncedBlocks(directory: string, rounds: number): number[] {
  const path = join(directory, "device");
  const descriptor = openSync(path, "w");
  const block = randomBytes(4096);
  const taken: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now();
    writeSync(descriptor, block);
    fdatasyncSync(descriptor);
    taken.push(performance.now() - began);
  }
  closeSync(descriptor);
  rmSync(path);
  return taken;
}

/** Writes `mib` MiB in pieces of one and syncs once, then reads them (from the page cache, as a pull right after its push does). */
export function streamedFile(directory: string, mib: number): { write: number; read: number } {
  const path = join(directory, "device");
  const block = randomBytes(MIB);
  const megabytes = (mib * MIB) / 1e6;
  let descriptor = openSync(path, "w");
  let began = performance.now();
  for (let count = 0; count < mib; count += 1) writeSync(descriptor, block);
  fsyncSync(descriptor);
  closeSync(descriptor);
  const write = megabytes / ((performance.now() - began) / 1000);
  descriptor = openSync(path, "r");
  began = performance.now();
  while (readSync(descriptor, block) > 0);
  const read = megabytes / ((performance.now() - began) / 1000);
  closeSync(descriptor);
  rmSync(path);
  return { write, read };
}

const INSERTS = {
  event:
    "insert into event (sequence, org, org_sequence, type, version, actor, time, bytes) values ($1, 'default', $1, 'attestations.evidence-added', 1, 'admin', $2, $3)",
  leaf: "insert into leaf (sequence, salt, commitment) values ($1, $2, $3)",
  evidence:
    "insert into evidence (org, digest, form, size, predicate_type, actor, sequence, time, first_sequence, first_time) values ('default', $1, 'report', 500, 'https://example.com/bench/v1', 'admin', $2, $3, $2, $3)",
  subject:
    "insert into evidence_subject (org, subject, digest, form, sequence) values ('default', $1, $1, 'report', $2)",
  repository:
    "insert into evidence_repository (org, digest, repository, sequence) values ('default', $1, 'default/bench', $2)",
} as const;

/** Plain `pg` on tables of ours: the rows an append writes, inserted and committed, and nothing else done. */
export class BarePostgres {
  readonly #client: Client;
  readonly #bytes = randomBytes(600);
  #sequence = 0;

  private constructor(client: Client) {
    this.#client = client;
  }

  static async open(databaseUrl: string): Promise<BarePostgres> {
    const database = openWriter({ dataDirectory: "", databaseUrl });
    await migrate(database, MIGRATIONS);
    await database.close();
    const client = new Client({ connectionString: databaseUrl });
    await client.connect();
    return new BarePostgres(client);
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  #run(text: string, values: readonly unknown[]): Promise<unknown> {
    return this.#client.query(text, [...values]);
  }

  /** Inserts what `events` appends write, committed together. */
  async group(events: number): Promise<void> {
    await this.#client.query("begin");
    for (let count = 0; count < events; count += 1) {
      const sequence = this.#sequence;
      this.#sequence += 1;
      const digest = randomDigest();
      const time = 1_700_000_000_000 + sequence;
      await this.#run(INSERTS.event, [sequence, time, this.#bytes]);
      await this.#run(INSERTS.leaf, [sequence, randomBytes(32), randomBytes(32)]);
      await this.#run(INSERTS.evidence, [digest, sequence, time]);
      await this.#run(INSERTS.subject, [digest, sequence]);
      await this.#run(INSERTS.repository, [digest, sequence]);
    }
    await this.#client.query("commit");
  }

  /** One row, committed by itself. */
  async single(): Promise<void> {
    const sequence = this.#sequence;
    this.#sequence += 1;
    await this.#run(INSERTS.event, [sequence, 1_700_000_000_000 + sequence, this.#bytes]);
  }

  /** The rows a receipt is made from, by their key. */
  async select(): Promise<void> {
    const text =
      "select event.bytes, leaf.salt, leaf.commitment from event left join leaf on leaf.sequence = event.sequence where event.sequence = $1";
    await this.#run(text, [Math.floor(Math.random() * this.#sequence)]);
  }
}
