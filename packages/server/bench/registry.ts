/**
 * The registry beside the reference implementation, `distribution`: the same driver, connections and bytes, in turn in one run; then in a
 * repository with a thousand manifests; then lists that are long. Once on the disk (ASSAY_BENCH_DIR, default: the temporary directory) and
 * once in memory (/dev/shm, or ASSAY_BENCH_RAM). Everything ours acknowledges is synced, and ours is the bundle that is installed (ASSAY_BENCH_SERVER
 * names another program, from the root). It needs `node scripts/interop-install.ts registry`.
 * Linux only: it reads /proc.
 *
 * The machine's speed is in both sides of each ratio. CPU a request is what a busy machine changes least.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Work } from "./registry/driver.ts";
import { Filler, FULL, makeBlobs, SMALL, TAGGED } from "./registry/fill.ts";
import { manyReferrers, manyTags, referrersPerSecond, type Walk } from "./registry/lists.ts";
import { compare, CONNECTIONS, type Contender, Driver, type Side } from "./registry/measure.ts";
import { type Registry, startAssay, startDistribution } from "./registry/servers.ts";

const MIB = 1024 * 1024;
const MANY = 1000;
/** HTTP processes of ours: as many as a server has by itself. */
const WORKERS = process.env["ASSAY_BENCH_WORKERS"] ?? "1";
/** How long the long lists are; a million tags with ASSAY_LONG. */
const REFERRERS = 10_000;
const TAGS = process.env["ASSAY_LONG"] === "1" ? 1_000_000 : 100_000;
/** Parts of the names of what is measured, with commas between them; everything, when absent. */
const only = process.env["ASSAY_BENCH_ONLY"]?.split(",");
/** `disk` or `memory`; both, when absent. */
const place = process.env["ASSAY_BENCH_PLACE"];

const asked = (name: string): boolean => only === undefined || only.some((part) => name.includes(part));

const TAGS_LISTED = "1,000 tags listed";
const WITH_MANY = `with ${MANY} manifests`;
const LISTS = "long lists";
const SEVERAL = "two HTTP processes";

const missed: string[] = [];
const row = (...cells: readonly string[]): void => {
  const [name = "", ...rest] = cells;
  process.stdout.write(`${name.padEnd(34)}${rest.map((cell) => cell.padStart(13)).join("")}\n`);
};
const number = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));

function judge(where: string, name: string, ratio: number, target: number, atMost = false): string {
  const held = atMost ? ratio <= target : ratio >= target;
  if (!held) missed.push(`${where}: ${name}: ${ratio.toFixed(2)}×, not ${atMost ? "at most" : "at least"} ${target}×`);
  return held ? "" : "  MISSED";
}

interface Figure {
  readonly name: string;
  readonly target: number;
  readonly work: Work;
  readonly rate?: (side: Side) => number;
}

const perSecond = (side: Side): number => side.perSecond;

const blobPath = (repository: string, digest: string): string => `/v2/${repository}/blobs/${digest}`;

/** What is measured in an empty repository and in a full one. */
const inRepository = (repository: string, small: readonly string[]): Figure[] => [
  { name: "push 1 MiB", target: 2, work: { kind: "push", repository, size: MIB } },
  { name: "push 1 KiB", target: 3, work: { kind: "push", repository, size: 1024 } },
  { name: "manifest by tag", target: 2.5, work: { kind: "get", paths: [`/v2/${repository}/manifests/latest`] } },
  {
    name: "blob GET 1 MiB",
    target: 2,
    work: { kind: "get", paths: small.map((digest) => blobPath(repository, digest)) },
  },
];

/** One figure of both, in a row. @param tell what is to be said of the ratio. */
async function figureOf(
  driver: Driver,
  ours: Registry,
  theirs: Registry,
  { name, target, work, rate = perSecond }: Figure,
  tell: (ratio: number) => string,
): Promise<void> {
  const [mine, reference] = await compare(driver, [
    { registry: ours, work },
    { registry: theirs, work },
  ]);
  const ratio = rate(mine) / rate(reference);
  row(
    name,
    number(rate(mine)),
    number(rate(reference)),
    `${ratio.toFixed(2)}×`,
    `≥ ${target}×`,
    mine.cpuMs.toFixed(3),
    reference.cpuMs.toFixed(3),
    `${mine.driver.toFixed(2)} ${reference.driver.toFixed(2)}`,
    number(ours.memory() / MIB),
    `${number(theirs.memory() / MIB)}${tell(ratio)}`,
  );
}

function heading(where: string, workers: string): void {
  process.stdout.write(`\n${where}: ${CONNECTIONS} connections, ${workers} HTTP processes of ours\n`);
  row("", "ours /s", "theirs /s", "ratio", "target", "CPU ms ours", "theirs", "driver busy", "ours, MiB", "theirs");
}

async function against(where: string, directory: string): Promise<void> {
  const ours = await startAssay(join(directory, "assay"), { ASSAY_WORKERS: WORKERS });
  let theirs: Registry | undefined;
  const driver = new Driver();
  try {
    theirs = await startDistribution(join(directory, "distribution"));
    const blobs = makeBlobs();
    const filler = new Filler(ours);
    const filled = await filler.fill(blobs);
    const other = new Filler(theirs);
    await other.fill(blobs);
    if (asked(TAGS_LISTED)) for (const each of [filler, other]) await each.tags(MANY);
    const figures: Figure[] = [
      ...inRepository(SMALL, filled.small),
      {
        name: "pull 64 MiB, MiB",
        target: 1,
        work: { kind: "get", paths: [blobPath(SMALL, filled.large)] },
        rate: (side) => side.mibPerSecond,
      },
      {
        name: TAGS_LISTED,
        target: 4,
        work: { kind: "get", paths: [`/v2/${TAGGED}/tags/list?n=${MANY}`] },
      },
    ];
    heading(where, WORKERS);
    for (const figure of figures) {
      const { name, target } = figure;
      if (asked(name)) await figureOf(driver, ours, theirs, figure, (ratio) => judge(where, name, ratio, target));
    }
    const memory = ours.memory() / theirs.memory();
    row(
      "memory after it, MiB",
      number(ours.memory() / MIB),
      number(theirs.memory() / MIB),
      `${memory.toFixed(2)}×`,
      `≤ 3×${judge(where, "memory", memory, 3, true)}`,
    );
    if (asked(WITH_MANY)) {
      await filler.manifests(MANY);
      row(`${WITH_MANY}, ours beside itself`, "then /s", "before /s", "ratio", "target");
      for (const [index, { name, work }] of inRepository(FULL, filled.small).entries()) {
        const before = inRepository(SMALL, filled.small)[index];
        if (before === undefined) continue;
        const pair: [Contender, Contender] = [
          { registry: ours, work },
          { registry: ours, work: before.work },
        ];
        const [then, empty] = await compare(driver, pair);
        const ratio = then.perSecond / empty.perSecond;
        row(
          name,
          number(then.perSecond),
          number(empty.perSecond),
          `${ratio.toFixed(2)}×`,
          `≥ 0.9×${judge(where, `${name} with ${MANY} manifests`, ratio, 0.9)}`,
        );
      }
    }
    if (asked(LISTS)) await longLists(where, driver, ours);
    if (asked(SEVERAL)) await withSeveral(where, directory, driver, theirs);
  } finally {
    driver.stop();
    await theirs?.stop();
    await ours.stop();
  }
}

/** What one process answers is bounded by one processor; theirs uses all there are. So again with as many processes as keep two busy. */
async function withSeveral(where: string, directory: string, driver: Driver, theirs: Registry): Promise<void> {
  const ours = await startAssay(join(directory, "assay-several"), { ASSAY_WORKERS: "2" });
  try {
    const { small } = await new Filler(ours).fill(makeBlobs());
    heading(where, "2");
    for (const figure of inRepository(SMALL, small).filter(
      ({ work }) => work.kind === "push" || work.paths.length === 1,
    ))
      await figureOf(driver, ours, theirs, figure, () => "");
  } finally {
    await ours.stop();
  }
}

/** A list that was read to its end: how long its pages took, and what it did to the server's memory. */
function tellOf(where: string, name: string, { listed, pages, memory }: Walk, target?: number): void {
  const middle = pages.toSorted((a, b) => a - b)[pages.length >> 1] ?? 0;
  const late = target !== undefined && middle >= target;
  if (late) missed.push(`${where}: ${name}: ${number(middle)} ms a page, not below ${target}`);
  const at = [pages[0], pages[pages.length >> 1], pages.at(-1)].map((ms) => number(ms ?? 0));
  const held = [memory.before, memory.most, memory.after].map((bytes) => number(bytes / MIB));
  process.stdout.write(
    `${name}: ${listed} in ${pages.length} pages; ms a page: ${number(middle)} in the middle of all${target === undefined ? "" : ` (target: below ${target})`}, ` +
      `the first ${at[0]}, half-way ${at[1]}, the last ${at[2]}, the slowest ${number(Math.max(...pages))}; ` +
      `memory, MiB: ${held[0]} before, ${held[1]} at most, ${held[2]} after${late ? "  MISSED" : ""}\n`,
  );
}

/** Lists that are longer than one page. */
async function longLists(where: string, driver: Driver, ours: Registry): Promise<void> {
  const { kept, made, zot } = await referrersPerSecond(driver, ours);
  row(LISTS, "ours /s", "zot's /s", "ratio", "target", "CPU ms ours", "driver busy");
  for (const [name, side, target] of [
    ["1,000 referrers, one page", kept, 10],
    ["1,000 referrers, made anew", made, undefined],
  ] as const) {
    const ratio = side.perSecond / zot;
    row(
      name,
      number(side.perSecond),
      number(zot),
      `${ratio.toFixed(2)}×`,
      target === undefined ? "" : `≥ ${target}×`,
      side.cpuMs.toFixed(3),
      `${side.driver.toFixed(2)}${target === undefined ? "" : judge(where, name, ratio, target)}`,
    );
  }
  const referrers = await manyReferrers(ours, REFERRERS);
  tellOf(where, `${REFERRERS} referrers, made anew`, referrers.made, 50);
  tellOf(where, `${REFERRERS} referrers, again`, referrers.kept, 50);
  tellOf(where, `${TAGS} tags`, await manyTags(ours, TAGS));
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

const directories = [
  ["on the disk", process.env["ASSAY_BENCH_DIR"] ?? tmpdir()],
  ["in memory", process.env["ASSAY_BENCH_RAM"] ?? "/dev/shm"],
] as const;
for (const [where, parent] of directories) {
  if (!existsSync(parent) || (place !== undefined && !where.endsWith(place))) continue;
  const directory = mkdtempSync(join(parent, "assay-bench-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  try {
    await against(where, directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
if (missed.length > 0) {
  process.stdout.write(`\nfalls short:\n${missed.map((line) => `  ${line}\n`).join("")}`);
  process.exitCode = 1;
}
