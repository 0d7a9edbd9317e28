/** Records to back up and places to restore them to, in the project's own database and blob store or in plain files. */
import { randomBytes } from "node:crypto";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import type { RecordReceipt } from "@assay/evidence";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { type ArchiveFinding, type Chain, readChain } from "../src/backup/verify.ts";
import { composeParts, MIGRATIONS, refillTables } from "../src/composition.ts";
import { ServerError } from "../src/errors.ts";
import { MasterKey } from "../src/keys/master.ts";
import { openRecord } from "../src/record/open.ts";
import { compareProjections } from "../src/record/replay.ts";
import { migrate } from "../src/storage/migrate.ts";
import { lockPlace, openReader, openWriter } from "../src/storage/open.ts";
import type { S3Location } from "../src/storage/s3-location.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";
import { s3Of } from "./stored-blobs.ts";

export const quiet = (): void => undefined;

/** Where a record is, or is to be. */
export interface Place {
  readonly dataDirectory: string;
  readonly databaseUrl: string | undefined;
  readonly s3: S3Location | undefined;
}

/** The project's own database and blob store, or always SQLite and a directory. */
export type Kind = "own" | "directory";

const used: { dispose(): Promise<void> }[] = [];

export async function makePlace(kind: Kind): Promise<Place> {
  const directory = await temporaryDirectory();
  used.push(directory);
  const dataDirectory = directory.path;
  return kind === "directory"
    ? { dataDirectory, databaseUrl: undefined, s3: undefined }
    : { ...(await placeOf(dataDirectory)), s3: s3Of(dataDirectory) };
}

/** An empty place that has the master key of another. */
export async function emptyPlace(source: Place, kind: Kind = "directory"): Promise<Place> {
  const place = await makePlace(kind);
  await copyFile(join(source.dataDirectory, "master.key"), join(place.dataDirectory, "master.key"));
  return place;
}

export let scratch: string;

beforeAll(async () => {
  const directory = await temporaryDirectory();
  used.push(directory);
  scratch = directory.path;
});

const running: Instance[] = [];

export async function start(place: Place): Promise<Instance> {
  const instance = await startInstance({ ...place });
  running.push(instance);
  return instance;
}

/** Opens a place as a starting server does, and closes it; resolves with what kept it from starting. */
export async function refusal(place: Place): Promise<ServerError | undefined> {
  const lock = lockPlace(place);
  const database = openWriter(place);
  try {
    await migrate(database, MIGRATIONS, { refill: refillTables });
    const { writer } = await openRecord({
      database,
      dataDirectory: place.dataDirectory,
      master: MasterKey.fromDirectory(place.dataDirectory, false),
      parts: composeParts(),
      founding: [],
      host: undefined,
    });
    await writer.stop();
    return undefined;
  } catch (error) {
    if (error instanceof ServerError) return error;
    throw error;
  } finally {
    await database.close();
    lock.release();
  }
}

export async function halt(instance: Instance): Promise<void> {
  running.splice(running.indexOf(instance), 1);
  await instance.stop();
}

afterEach(async () => {
  for (const instance of running.splice(0)) await instance.stop();
});

afterAll(async () => {
  for (const place of used) await place.dispose();
});

let archives = 0;
export const newArchive = (): string => join(scratch, `archive-${(archives += 1)}.tar`);

export async function check(place: Place): Promise<string[]> {
  const { findings } = await checkDirectory({ ...place, tell: quiet });
  return findings.map(({ where, problem }) => `${where}: ${problem}`);
}

export async function verify(
  paths: readonly string[],
  options: Partial<Parameters<typeof readChain>[0]> = {},
): Promise<{ findings: ArchiveFinding[]; chain: Chain | undefined }> {
  const findings: ArchiveFinding[] = [];
  const chain = await readChain({
    archives: paths,
    decryption: {},
    tell: quiet,
    found: (finding) => findings.push(finding),
    ...options,
  });
  return { findings, chain };
}

/** Rows that two places have not in common. */
export async function differences(left: Place, right: Place): Promise<string[]> {
  const [one, other] = [openReader(left), openReader(right)];
  try {
    const found: string[] = [];
    for await (const { where, problem } of compareProjections(one, other, composeParts())) {
      found.push(`${where}: ${problem}`);
    }
    return found;
  } finally {
    await one.close();
    await other.close();
  }
}

/** Something of every room: an image, a policy question, a report, a member. */
export async function work(instance: Instance, label: string): Promise<RecordReceipt> {
  const image = await pushImage(instance.url, "default/app", `build-${label}`, randomBytes(2000));
  const made = [
    await instance.api("POST", "/api/assay/v1/orgs", { name: `org-${label}` }),
    await instance.api("POST", "/api/assay/v1/orgs/default/reports", {
      subject: image.manifest,
      predicateType: "https://example.com/report",
      predicate: { label },
    }),
  ];
  for (const answer of made) if (answer.status >= 300) throw new Error(JSON.stringify(answer));
  const [, report] = made;
  if (report === undefined) throw new Error("no report was made");
  return (report.body as { receipt: RecordReceipt }).receipt;
}

export async function vkeyOf(instance: Instance): Promise<string> {
  return (await (await fetch(`${instance.url}/logs/record/vkey`)).text()).trim();
}

/** A copy with one bit of one byte turned. */
export function flipped(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** Matches what holds a text; typed, as vitest's own is not. */
export function containing(text: string): unknown {
  return expect.stringContaining(text);
}
