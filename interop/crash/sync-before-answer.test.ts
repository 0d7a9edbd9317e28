/**
 * What is on the disk when a write is answered with success: strace (Debian's package `strace`) records the server's system calls, one
 * request after another, and each answer is held against the syncs before it.
 */
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { record, Replay, type Run } from "./recording.ts";

let run: Run;

beforeAll(async () => {
  run = await record(new Map(), async (load) => {
    // The first round makes directories, the second finds them.
    for (const tag of ["one", "two"]) {
      const digest = await load.push("default/app", tag, { layer: 20_000, whole: 15_000, chunk: 10_000 });
      await load.judge("default", digest);
      await load.trust("default");
      await load.people();
      await load.deleteTag("default/app", tag);
    }
    // Too large to be held in memory: staged.
    await load.blob("default/app", randomBytes(3_000_000));
    await load.whole("default/app", randomBytes(1_200_000));
  });
});

/** What may be unsynced when a write is answered, and why that takes nothing from what the answer says. */
const MAY_BE_PENDING: readonly { readonly path: RegExp; readonly doors?: RegExp; readonly why: string }[] = [
  { path: /-shm$/, why: "SQLite's shared memory is made anew at every start" },
  { path: /^server\.lock/, why: "nothing is kept in the lock" },
  { path: /^uploads\/$/, why: "an upload under way is no fact: after a power loss it stands where its bytes end" },
  { path: /^uploads\/./, doors: /a chunk of it/, why: "as its directory" },
  { path: /^logs\/record\/(tile\/|checkpoint)/, why: "published after the answer, from what is committed" },
  { path: /^logs\/record\/$/, why: "without this sync the former newest-checkpoint may be back, which is whole" },
];

/** One row of the table: lines of the trace, counted from the one at which the request's connection was taken. */
interface Row {
  readonly door: string;
  readonly status: number;
  /** What was written, the line of its last write, and of the end of the sync that covers it. */
  readonly written: readonly { readonly what: string; readonly line: number; readonly synced: number | undefined }[];
  readonly answered: number;
  /** What a power loss at the answer could take and may not. */
  readonly owed: readonly string[];
}

/** Names in the table: an upload's and a blob's own are chance. */
function shown(path: string): string {
  return path
    .replace(/^uploads\/.+/, "upload's bytes")
    .replace(/^blobs\/sha256\/(..)\/$/, "name in blobs/sha256/<xx>/")
    .replace(/^logs\/record\/$/, "newest-checkpoint's name")
    .replace(/^logs\/record\/newest-checkpoint\.tmp$/, "newest-checkpoint")
    .replace(/^blobs\/sha256\/$/, "name <xx>/ in blobs/sha256/");
}

/** Follows every request from its connection to its answer. */
function readRows(): Row[] {
  const replay = new Replay(run);
  const rows: Row[] = [];
  let accepted = 0;
  let files = new Map<string, number>();
  let names = new Map<string, number>();
  let syncs: { path: string; begun: number; ended: number | undefined; sync: number }[] = [];
  const syncOf = (path: string, last: number): number | undefined =>
    syncs.find((sync) => sync.path === path && sync.begun > last)?.ended;
  while (replay.at < replay.length) {
    const line = replay.position;
    const answered = replay.answered.length;
    const step = replay.step();
    switch (step.kind) {
      case "accept":
        accepted = line;
        // The bytes of an upload may come with earlier requests than the one that makes them a blob.
        files = new Map(
          [...files].filter(([path, last]) => path.startsWith("uploads/") && syncOf(path, last) === undefined),
        );
        names = new Map();
        syncs = [];
        break;
      case "write":
        files.set(replay.disk.descriptorPath(step.descriptor) ?? "", line);
        break;
      case "mkdir":
        names.set(`${dirname(step.path)}/`, line);
        break;
      case "rename":
        names.set(`${dirname(step.to)}/`, line);
        break;
      case "sync-begin": {
        const path = replay.disk.descriptorPath(step.descriptor) ?? "";
        for (const name of [path, `${path === "" ? "." : path}/`]) {
          syncs.push({ path: name, begun: line, ended: undefined, sync: step.sync });
        }
        break;
      }
      case "sync-end":
        for (const sync of syncs) if (sync.sync === step.sync) sync.ended = line;
        break;
      case "answer": {
        const write = replay.answered.at(-1);
        if (write === undefined || replay.answered.length === answered) break;
        const mayBe = (path: string): boolean =>
          MAY_BE_PENDING.some((may) => may.path.test(path) && (may.doors?.test(write.door) ?? true));
        const written = [...files, ...names]
          .filter(([path]) => !/-shm$|^server\.lock|^logs\/record\/(tile|checkpoint)|^$/.test(path))
          .map(([path, last]) => ({
            what: shown(path),
            line: last - accepted,
            synced: offset(syncOf(path, last), accepted),
          }));
        rows.push({
          door: write.door,
          status: step.status,
          written,
          answered: line - accepted,
          owed: replay.disk.pendingPaths().filter((path) => !mayBe(path)),
        });
        break;
      }
      default:
    }
  }
  return rows;
}

function offset(line: number | undefined, from: number): number | undefined {
  return line === undefined ? undefined : line - from;
}

it("has on disk all that a success says before it says it, at every write door", () => {
  const rows = readRows();
  const table = rows.map(({ door, status, written, answered }) => {
    const parts = written.map(({ what, line, synced }) => `${what} ${line}→${synced ?? "not synced"}`);
    return `  ${door.padEnd(22)} ${parts.join(", ")}, answer ${status} at ${answered}`;
  });
  console.log(
    `Lines of the trace since the connection was taken, "last write→sync":\n${table.join("\n")}\nNot synced before an answer:\n${MAY_BE_PENDING.map(
      ({ path, doors, why }) => `  ${path.source}${doors === undefined ? "" : ` (${doors.source})`}: ${why}`,
    ).join("\n")}`,
  );
  expect(rows.length).toBe(run.writes.length);
  for (const row of rows) {
    expect(row.owed, row.door).toEqual([]);
    // An upload that is opened is a name, and nothing is written down of it.
    if (row.door === "upload, opened") continue;
    // Every write is a commit, which is synced; whatever else was written is synced too, or named above.
    const log = row.written.find(({ what }) => what === "assay.db-wal");
    expect(log?.synced, row.door).toBeLessThan(row.answered);
  }
  const blobs = rows.filter(({ door }) => /^(blob, in|manifest|evidence|report)/.test(door));
  expect(blobs.length).toBeGreaterThan(10);
  for (const { door, written, answered } of blobs) {
    // What is there already is not written again; what was written is on disk, by whichever request it came.
    const parts = written.filter(({ what }) => /^(upload's bytes|name in blobs)/.test(what));
    for (const { what, synced } of parts) expect(synced, `${door}: ${what}`).toBeLessThan(answered);
  }
  for (const way of ["blob, in one request", "blob, in a session", "blob, in chunks"]) {
    const written = rows.filter(({ door }) => door === way).map((row) => row.written.map(({ what }) => what));
    expect(written.length, way).toBeGreaterThan(1);
    for (const what of written) expect(what, way).toContain("upload's bytes");
  }
});
