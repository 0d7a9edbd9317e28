/**
 * Fills a SQLite data directory with genuine events, fast: real bytes, salts, commitments, chains, log, tiles and blobs, so that `check`
 * finds the result whole. Events do not pass the writer's queue and get no receipts; everything else is the server's own code.
 *
 * What they are: per thousand events one repository with a pushed manifest and a piece of evidence, whose blobs are in the store; then
 * tags being set and the evidence being attached to further artifacts, in turn. Digests are random, as digests are.
 */
import { randomBytes } from "node:crypto";
import { type Digest, type JsonObject, recordCommitment, toHex } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { CompiledQuery } from "kysely";
import { readReport } from "../../src/attestations/reading.ts";
import { composeParts, MIGRATIONS } from "../../src/composition.ts";
import { MasterKey } from "../../src/keys/master.ts";
import type { SequencedLog } from "../../src/log/log.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../../src/record/command.ts";
import { encodeEvent, liftEvent } from "../../src/record/event.ts";
import { openRecord } from "../../src/record/open.ts";
import type { RecordTables } from "../../src/record/schema.ts";
import { writeHead } from "../../src/record/writer.ts";
import type { Batch } from "../../src/storage/database.ts";
import { DirectoryBlobs } from "../../src/storage/directory-blobs.ts";
import { migrate } from "../../src/storage/migrate.ts";
import { openWriter } from "../../src/storage/open.ts";
import { type Example, type LearntProjection, learnProjection } from "./learnt-projection.ts";

export const ORG = "default";
const ACTOR = "admin";
const PREDICATE = "https://example.com/bench/v1";

/** Events that share a repository. */
export const BLOCK = 1000;

/** Events of one transaction. */
const BATCH = 20_000;

const LAYER = new Uint8Array(1024).fill(0x61);
const CONFIG = new TextEncoder().encode("{}");

/** Random bytes, drawn many at a time: drawing 32 by 32 is a tenth of all work here. */
let pool = Buffer.alloc(0);

function random32(): Buffer {
  if (pool.length < 32) pool = randomBytes(1 << 16);
  const drawn = pool.subarray(0, 32);
  pool = pool.subarray(32);
  return drawn;
}

export function randomDigest(): Digest {
  return `sha256:${random32().toString("hex")}` as Digest;
}

/** What the events of one block are about. */
export interface Block {
  readonly repository: string;
  readonly manifest: Digest;
  readonly report: Digest;
}

/** The repository of the block that begins at a sequence. */
export function repositoryAt(sequence: number): string {
  return `${ORG}/app-${Math.floor(sequence / BLOCK)}`;
}

/** One event: its type and body, and what of them differs from the next of its kind. */
interface Draft {
  readonly type: string;
  readonly body: JsonObject;
  /** The projection's variable values besides sequence and time; undefined: the projection is run itself. */
  readonly values?: readonly (readonly [string, unknown])[];
}

function tagSet(block: Block, tag: string): Draft {
  const { repository, manifest: digest } = block;
  return {
    type: "registry.tag-set",
    body: { repository, tag, digest, previous: null },
    values: [
      ["repository", repository],
      ["tag", tag],
      ["digest", digest],
    ],
  };
}

function evidenceLinked(block: Block, subject: Digest): Draft {
  return {
    type: "attestations.evidence-linked",
    body: { evidence: block.report, form: "report", repository: null, subject, source: { kind: "api" } },
    values: [
      ["evidence", block.report],
      ["subject", subject],
    ],
  };
}

/** Puts a block's blobs into the store. @returns the block, and the two events that name them. */
async function openBlock(blobs: DirectoryBlobs, sequence: number): Promise<{ block: Block; drafts: Draft[] }> {
  const repository = repositoryAt(sequence);
  const config = { digest: await blobs.putSmall(CONFIG), size: CONFIG.length };
  const layer = { digest: await blobs.putSmall(LAYER), size: LAYER.length };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const types = {
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar",
  };
  const bytes = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: types.config, ...config },
      layers: [{ mediaType: types.layer, ...layer }],
      annotations: { "com.example.block": String(sequence) },
    }),
  );
  const manifest = await blobs.putSmall(bytes);
  const { bytes: reportBytes, piece } = readReport({ subject: manifest, predicateType: PREDICATE, predicate: {} });
  const report = await blobs.putSmall(reportBytes);
  const references = [
    { kind: "config", mediaType: types.config, ...config, held: true },
    { kind: "layer", mediaType: types.layer, ...layer, held: true },
  ];
  const annotations = { "com.example.block": String(sequence) };
  const pushed = { repository, digest: manifest, size: bytes.length, mediaType, annotations, references };
  const given = {
    ...piece,
    subjects: [...piece.subjects],
    signers: [],
    repository,
    source: { kind: "api" },
    earlier: null,
  };
  return {
    block: { repository, manifest, report },
    drafts: [
      { type: "registry.manifest-pushed", body: pushed },
      { type: "attestations.evidence-added", body: given as unknown as JsonObject },
    ],
  };
}

const parts = composeParts();

/** Learns the projections of the two kinds of event that there are many of. */
async function learn(): Promise<Map<string, LearntProjection>> {
  const learnt = new Map<string, LearntProjection>();
  const blockOf = (name: string): Block => ({ repository: name, manifest: randomDigest(), report: randomDigest() });
  for (const make of [
    (name: string): Draft => tagSet(blockOf(name), `tag-${name}`),
    (name: string): Draft => evidenceLinked(blockOf(name), randomDigest()),
  ]) {
    const example = (name: string, sequence: number): Example => {
      const { type, body, values = [] } = make(name);
      const time = sequence + 1_000_000;
      const envelope = { type, v: 1, org: ORG, orgSeq: 0, prev: null, actor: ACTOR, time, body };
      return {
        event: liftEvent(sequence, envelope, parts.events.get(type)),
        values: new Map<string, unknown>([["sequence", sequence], ["time", time], ...values]),
      };
    };
    const definition = parts.events.get(make("x").type);
    if (definition === undefined) throw new Error("a kind of event is unknown");
    learnt.set(definition.type, await learnProjection(definition, [example("one", 1), example("two", 2)]));
  }
  return learnt;
}

interface Head {
  orgSequence: number;
  commitment: Uint8Array;
  sequence: number;
}

const INSERT_EVENT =
  "insert into event (sequence, org, org_sequence, type, version, actor, time, bytes) values (?, ?, ?, ?, ?, ?, ?, ?)";
const INSERT_LEAF = "insert into leaf (sequence, salt, commitment) values (?, ?, ?)";

/** Writes a batch of drafts and sequences them in the log. */
async function write(
  batch: Batch,
  log: SequencedLog,
  learnt: ReadonlyMap<string, LearntProjection>,
  drafts: readonly Draft[],
): Promise<{ committed(): void; undone(): void }> {
  const tables = batch.tables<RecordTables>();
  const run = (sql: string, parameters: readonly unknown[]): Promise<unknown> =>
    tables.executeQuery(CompiledQuery.raw(sql, [...parameters]));
  const row = await tables.selectFrom("org_head").selectAll().where("org", "=", ORG).executeTakeFirst();
  let head: Head | undefined = row && {
    orgSequence: row.org_sequence,
    commitment: row.commitment,
    sequence: row.sequence,
  };
  const commitments: Uint8Array[] = [];
  const time = Date.now();
  for (const { type, body, values } of drafts) {
    const sequence = log.size + commitments.length;
    const envelope = {
      type,
      v: 1,
      org: ORG,
      orgSeq: head === undefined ? 0 : head.orgSequence + 1,
      prev: head === undefined ? null : toHex(head.commitment),
      actor: ACTOR,
      time,
      body,
    };
    const bytes = encodeEvent(envelope);
    const salt = new Uint8Array(random32());
    const commitment = recordCommitment(nodeCrypto, salt, bytes);
    await run(INSERT_EVENT, [sequence, ORG, envelope.orgSeq, type, 1, ACTOR, time, bytes]);
    await run(INSERT_LEAF, [sequence, salt, commitment]);
    const projection = values === undefined ? undefined : learnt.get(type);
    if (projection === undefined || values === undefined) {
      const definition = parts.events.get(type);
      await definition?.project(batch, liftEvent(sequence, envelope, definition));
    } else {
      const slots = new Map<string, unknown>([["sequence", sequence], ["time", time], ...values]);
      for (const statement of projection.statements(slots)) await run(statement.sql, statement.parameters);
    }
    commitments.push(commitment);
    head = { orgSequence: envelope.orgSeq, commitment, sequence };
  }
  if (head !== undefined) await writeHead(batch, ORG, head);
  return await log.sequence(batch, commitments);
}

/** Fills `dataDirectory` up to `target` events; it may have some already. @returns how many it wrote and how long that took. */
export async function seed(
  dataDirectory: string,
  target: number,
  tell: (events: number) => void,
): Promise<{ written: number; seconds: number }> {
  const place = { dataDirectory };
  const database = openWriter(place);
  await migrate(database, MIGRATIONS);
  const { writer, log } = await openRecord({
    database,
    dataDirectory,
    master: MasterKey.fromDirectory(dataDirectory, true),
    parts,
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: ORG } }],
    host: undefined,
  });
  try {
    const blobs = await DirectoryBlobs.open(dataDirectory);
    const learnt = await learn();
    const start = log.size;
    const began = performance.now();
    let open: Block | undefined;
    while (log.size < target) {
      const drafts: Draft[] = [];
      const count = Math.min(BATCH, target - log.size);
      while (drafts.length < count) {
        const sequence = log.size + drafts.length;
        if (open === undefined || open.repository !== repositoryAt(sequence)) {
          const { block, drafts: first } = await openBlock(blobs, sequence);
          open = block;
          drafts.push(...first);
        } else {
          drafts.push(sequence % 2 === 0 ? tagSet(open, `build-${sequence}`) : evidenceLinked(open, randomDigest()));
        }
      }
      const ending = await database.transaction((batch) => write(batch, log, learnt, drafts), { long: true });
      ending.committed();
      log.schedulePublish();
      tell(log.size);
    }
    await log.published();
    return { written: log.size - start, seconds: (performance.now() - began) / 1000 };
  } finally {
    await writer.stop();
    await database.close();
  }
}
