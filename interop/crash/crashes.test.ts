/** A server ended at every kind of moment, by a power loss or a kill, and started again on what is left: nothing promised is lost. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freePort } from "../../packages/server/test/free-port.ts";
import { sha256 } from "../../packages/server/test/pushing.ts";
import { startProcess } from "../../packages/server/test/server-process.ts";
import { lostOverHttp, type Promised, type WriteLoad } from "../../packages/server/test/write-load.ts";
import { examine } from "./crash-state.ts";
import { type Loss, putDown, seeded } from "./disk.ts";
import { memoryFolder, record, Replay, type Run } from "./recording.ts";
import type { Step } from "./steps.ts";

const LONG = process.env["ASSAY_LONG"] === "1";

/** Crashes in all. */
const CRASHES = LONG ? 2000 : 150;

const LOSSES = ["unsynced-lost", "nothing-lost", "some-lost"] as const;

/** A server's life: what it starts on, and what it does. */
interface Life {
  readonly name: string;
  readonly run: Run;
  replay(): Replay;
}

let folder: string;
const lives: Life[] = [];
const formerTemporary = process.env["TMPDIR"];

/** One of everything, several times over, at once. */
async function busy(load: WriteLoad, name: string, rounds: number): Promise<void> {
  await Promise.all(
    [0, 1, 2].map(async (worker) => {
      for (let round = 0; round < rounds; round += 1) {
        const tag = `${name}-${worker}-${round}`;
        const layer = worker === 0 && round === 0 ? 1_500_000 : 3000 + 1000 * round;
        const whole = worker === 1 && round === 0 ? 1_200_000 : 2000 + 1000 * round;
        const digest = await load.push("default/app", tag, { layer, whole, chunk: 5000 });
        await Promise.all([load.judge("default", digest), load.trust("default"), load.people()]);
        if (round % 2 === 0) await load.deleteTag("default/app", tag);
      }
    }),
  );
}

/** The directory of the configuration that every pushed image shares. */
const SHARED_DIRECTORY = `blobs/sha256/${sha256("{}").slice("sha256:".length).slice(0, 2)}`;

/** Steps until a directory for blobs that is used again and again is there, and its name is not on disk. */
function untilUnsyncedDirectory(replay: Replay): void {
  while (replay.at < replay.length) {
    const step = replay.step();
    if (step.kind === "mkdir" && step.path === SHARED_DIRECTORY) return;
  }
  throw new Error(`${SHARED_DIRECTORY} was never made`);
}

beforeAll(async () => {
  folder = memoryFolder("assay-crashes-");
  // The check's scratch database need not wait for a disk either.
  process.env["TMPDIR"] = folder;
  const first = await record(new Map(), async (load) => {
    await Promise.all([load.trust("default"), load.people()]);
    await busy(load, "first", 1);
  });
  lives.push({ name: "founding a record", run: first, replay: () => new Replay(first) });
  // The second server starts where a kill ended the first, on a disk that still owes what the first had not synced.
  const cut = (): Replay => {
    const replay = new Replay(first);
    untilUnsyncedDirectory(replay);
    replay.disk.processEnded();
    return replay;
  };
  const second = await record(cut().disk.after({ kind: "nothing-lost" }), async (load) => {
    await load.blob("default/again", Buffer.from("{}"));
    await busy(load, "second", LONG ? 10 : 3);
  });
  lives.push({
    name: "going on after a kill",
    run: second,
    replay: () => {
      const before = cut();
      return new Replay(second, before.disk, before.promised());
    },
  });
}, 120_000);

afterAll(() => {
  if (formerTemporary === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = formerTemporary;
  rmSync(folder, { recursive: true, force: true });
});

/** What a step changes of what kind of file: moments alike in this are alike. Undefined when the disk is as it was before. */
function kindOf(step: Step, replay: Replay): string | undefined {
  const named = (verb: string, path: string | undefined): string | undefined => {
    const parts = (path ?? "").split("/");
    const name = parts.slice(0, parts[0] === "logs" ? 3 : 1).join("/");
    // SQLite's shared memory is made anew at every start, and nothing is kept in the lock.
    if (name.endsWith("-shm")) return undefined;
    if (name === "") return `${verb} the data directory`;
    return `${verb} ${name.startsWith("server.lock") ? "server.lock" : name.replace(/\.\d+\.tmp$/, ".tmp")}`;
  };
  switch (step.kind) {
    case "open":
      return step.create || step.truncate ? named("open", step.path) : undefined;
    case "write":
      return named("write", replay.disk.descriptorPath(step.descriptor));
    case "resize":
      return named("resize", typeof step.file === "string" ? step.file : replay.disk.descriptorPath(step.file));
    case "copy":
      return named("copy", replay.disk.descriptorPath(step.to));
    case "rename":
    case "link":
      return named(step.kind, step.to);
    case "unlink":
    case "mkdir":
    case "rmdir":
      return named(step.kind, step.path);
    case "sync-end":
      return named("sync", replay.disk.descriptorPath(replay.syncing(step.sync)) ?? "");
    case "answer":
      return `answer: ${replay.answered.at(-1)?.door}`;
    case "accept":
    case "close":
    case "seek":
    case "duplicate":
    case "sync-begin":
      return undefined;
  }
}

/** A moment to crash at: so many steps are done, the last of them of this kind. */
interface Moment {
  readonly at: number;
  readonly kind: string;
  readonly loss: Loss["kind"];
}

/** Chooses moments: equally many of each kind, as far as there are any, with each kind of loss in turn. */
function chooseMoments(life: Life, count: number, random: () => number): Moment[] {
  const replay = life.replay();
  const kinds = new Map<string, number[]>();
  while (replay.at < replay.length) {
    const step = replay.step();
    const kind = kindOf(step, replay);
    if (kind !== undefined) kinds.set(kind, [...(kinds.get(kind) ?? []), replay.at]);
  }
  const moments = [...kinds].map(([kind, places]) => {
    const left = places.flatMap((at) => LOSSES.map((loss) => ({ at, kind, loss })));
    const shuffled: Moment[] = [];
    while (left.length > 0) {
      // The next with a loss whose turn it is.
      const turn = left.filter(({ loss }) => loss === LOSSES[shuffled.length % LOSSES.length]);
      const one = turn[Math.floor(random() * turn.length)] ?? left[0];
      if (one === undefined) break;
      shuffled.push(...left.splice(left.indexOf(one), 1));
      if (shuffled.length >= count) break;
    }
    return shuffled;
  });
  const chosen: Moment[] = [];
  for (let round = 0; chosen.length < count && moments.some((kind) => kind.length > round); round += 1) {
    chosen.push(...moments.flatMap((kind) => kind.slice(round, round + 1)).slice(0, count - chosen.length));
  }
  return chosen;
}

function place(files: ReadonlyMap<string, Buffer>, name: string): string {
  const directory = join(folder, name);
  mkdirSync(directory, { mode: 0o700 });
  putDown(files, directory);
  return directory;
}

/** Crashes a life at the chosen moments. @returns what was wrong, by moment. */
async function crash(
  life: Life,
  moments: readonly Moment[],
  examineAt: (directory: string, promised: readonly Promised[]) => Promise<string[]>,
): Promise<string[]> {
  const wrong: string[] = [];
  const replay = life.replay();
  while (replay.at < replay.length) {
    replay.step();
    for (const { kind, loss } of moments.filter(({ at }) => at === replay.at)) {
      const files = replay.disk.after(
        loss === "some-lost" ? { kind: loss, random: seeded(replay.at) } : { kind: loss },
      );
      const directory = place(files, `${life.name.replaceAll(" ", "-")}-${replay.at}-${loss}`);
      const found = await examineAt(directory, replay.promised());
      rmSync(directory, { recursive: true });
      if (found.length > 0) wrong.push(`${life.name}, ${loss} at step ${replay.at} (${kind}): ${found.join("\n  ")}`);
    }
  }
  return wrong;
}

it("replays to the very files that the server left", () => {
  for (const life of lives) {
    const replay = life.replay();
    while (replay.at < replay.length) replay.step();
    const files = replay.disk.after({ kind: "nothing-lost" });
    expect([...files.keys()].filter((path) => !path.endsWith("/")).toSorted()).toEqual(
      [...life.run.left.keys()].toSorted(),
    );
    for (const [path, bytes] of life.run.left) expect(files.get(path)?.equals(bytes), path).toBe(true);
    // Everything that was asked for was answered, and every answer is in the trace.
    expect(replay.answered.length).toBe(life.run.writes.length);
  }
});

it(
  `loses nothing promised in ${CRASHES} crashes at every kind of moment, and finds everything whole`,
  async () => {
    const wrong: string[] = [];
    const kinds = new Map<string, number>();
    const started = performance.now();
    for (const [index, life] of lives.entries()) {
      const moments = chooseMoments(life, CRASHES / lives.length, seeded(index + 1));
      for (const { kind } of moments) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      wrong.push(...(await crash(life, moments, examine)));
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    console.log(
      `${[...kinds.values()].reduce((all, one) => all + one, 0)} crashes in ${seconds} s, after:\n${[...kinds]
        .toSorted(([left], [right]) => (left < right ? -1 : 1))
        .map(([kind, count]) => `  ${String(count).padStart(4)} ${kind}`)
        .join("\n")}`,
    );
    expect(wrong).toEqual([]);
  },
  LONG ? 3_600_000 : 240_000,
);

it("makes durable what a killed server had made and not synced, before anything in it is promised", async () => {
  const life = lives[1];
  if (life === undefined) throw new Error("there is no second life");
  const replay = life.replay();
  while (replay.answered.length === 0) replay.step();
  expect(replay.answered[0]?.door).toBe("blob, in one request");
  const moment = { at: replay.at, kind: "the first answer", loss: "unsynced-lost" } as const;
  expect(await crash(life, [moment], examine)).toEqual([]);
});

it("starts as a real process on what crashes left, and serves everything promised", async () => {
  for (const life of lives) {
    const moments = chooseMoments(life, 100_000, seeded(7)).filter(({ kind }) => kind.startsWith("answer"));
    const few = moments.slice(0, LONG ? 30 : 4);
    expect(few.length).toBeGreaterThan(0);
    const wrong = await crash(life, few, async (directory, promised) => {
      const server = await startProcess(directory, await freePort());
      try {
        return await lostOverHttp(server.url, promised);
      } finally {
        server.signal("SIGTERM");
        await server.ended;
      }
    });
    expect(wrong).toEqual([]);
  }
}, 240_000);
