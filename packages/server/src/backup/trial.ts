import { createPublicKey } from "node:crypto";
import { parseVkey } from "@assay/evidence";
import { z } from "zod";
import { composeParts, MIGRATIONS } from "../composition.ts";
import { serviceKeys } from "../record/service-key-queries.ts";
import { successions } from "../record/succession.ts";
import { migrate } from "../storage/migrate.ts";
import { openSqliteScratch } from "../storage/sqlite.ts";
import { archiveName } from "./backup.ts";
import type { CounterLine, Manifest } from "./format.ts";
import { RecordSink, replay } from "./restore.ts";
import { type ArchivedEvent, type ArchiveSink, type Chain, type ChainOptions, readChain } from "./verify.ts";

/** What a key file says of itself in the clear. */
const keyFile = z.object({ id: z.string(), purpose: z.string(), publicKey: z.string() });

/**
 * {@link readChain}, and whether a restore of the chain would lack anything: the events refill the tables of a database of this process's
 * own, and those say which blobs and keys the record needs. An index is not signed, so what it lists is not taken for all there must be.
 *
 * What it cannot tell is whether the private keys open: nothing here knows the master key. The backup held them against it.
 */
export async function tryChain(options: Omit<ChainOptions, "sink">): Promise<Chain | undefined> {
  const database = openSqliteScratch();
  try {
    await migrate(database, MIGRATIONS);
    let found = 0;
    const last = archiveName(options.archives.at(-1) ?? "");
    const tell = (where: string, problem: string): void => options.found({ archive: last, where, problem });
    const sink = new TrialSink(database, () => found > 0, tell);
    const chain = await readChain({
      ...options,
      sink,
      found(finding) {
        found += 1;
        options.found(finding);
      },
    });
    // Of what is damaged nothing is refilled: it was named, and the rest cannot be judged.
    if (chain === undefined || found > 0) return chain;
    const parts = composeParts();
    try {
      await replay(database, parts, options.tell);
    } catch (error) {
      tell("events", `the tables cannot be refilled from them: ${reason(error)}`);
      return chain;
    }
    for await (const { digest, namedBy } of sink.missingBlobs(parts)) {
      tell(`blob ${digest}`, `no archive has it, and ${namedBy} needs it`);
    }
    for (const { id, purpose, retired } of await serviceKeys(database.reader())) {
      if (!retired && purpose !== "witness" && !sink.keyIds.has(id)) {
        tell(
          `keys/${purpose}.key.json`,
          `the archive does not have the ${purpose} key ${id}, which the record counts on`,
        );
      }
    }
    for (const { closed, previous } of await successions(database.reader())) {
      if (!sink.closedLogs.has(closed)) {
        tell(`closed/${closed}`, `the archives do not have the files of the closed log ${previous.origin}`);
      }
    }
    return chain;
  } finally {
    await database.close();
  }
}

/** Takes in what a restore would write, but for blobs and files, which are only read. */
class TrialSink extends RecordSink implements ArchiveSink {
  /** The keys that the last archive has. */
  readonly keyIds = new Set<string>();
  /** The closed logs of which there are files. Their readers verify them by themselves; `check` does so after a restore. */
  readonly closedLogs = new Set<string>();
  readonly #damaged: () => boolean;
  readonly #found: (where: string, problem: string) => void;
  #vkey = "";

  constructor(
    database: ConstructorParameters<typeof RecordSink>[0],
    damaged: () => boolean,
    found: (where: string, problem: string) => void,
  ) {
    super(database);
    this.#damaged = damaged;
    this.#found = found;
  }

  async manifest(manifest: Manifest): Promise<void> {
    this.#vkey = manifest.vkey;
  }

  async keys(files: ReadonlyMap<string, Uint8Array>, last: boolean): Promise<void> {
    if (!last) return;
    let own = false;
    for (const [name, bytes] of files) {
      try {
        const { id, purpose, publicKey } = keyFile.parse(JSON.parse(Buffer.from(bytes).toString()));
        const { x } = createPublicKey(publicKey).export({ format: "jwk" });
        this.keyIds.add(id);
        own ||= purpose === "log-record" && x === Buffer.from(parseVkey(this.#vkey).publicKey).toString("base64url");
      } catch (error) {
        this.#found(`keys/${name}`, `it is no key file: ${reason(error)}`);
      }
    }
    if (!own) this.#found("keys/log-record.key.json", `the archive does not have the key of the log ${this.#vkey}`);
  }

  override async events(events: readonly ArchivedEvent[]): Promise<void> {
    if (!this.#damaged()) await super.events(events);
  }

  override async replaced(events: readonly { readonly sequence: number; readonly bytes: Uint8Array }[]): Promise<void> {
    if (!this.#damaged()) await super.replaced(events);
  }

  override async counters(table: string, rows: readonly CounterLine[], last: boolean): Promise<void> {
    if (this.#damaged()) return;
    try {
      await super.counters(table, rows, last);
    } catch (error) {
      this.#found(`unrecorded/${table}`, `its rows do not go into the table: ${reason(error)}`);
    }
  }

  async closed(log: string): Promise<void> {
    this.closedLogs.add(log);
  }

  async blob(hex: string, _size: number, content: AsyncIterable<Uint8Array>): Promise<void> {
    const pieces = content[Symbol.asyncIterator]();
    while ((await pieces.next()).done !== true);
    this.blobs.add(hex);
  }
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
