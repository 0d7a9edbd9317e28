/**
 * The one table of who may import whom (docs/architecture.md; "Packages" and "Inside packages/server/src"). The lint configuration's
 * `no-restricted-imports` overrides and the check of dynamic imports are both made from it.
 */
import { builtinModules } from "node:module";

/** Where a package or room stands. What is listed together stands on one floor, and such neighbours do not import each other. */
export type Floors = readonly (readonly string[])[];

/** Packages, lowest first. A package may import those on lower floors. */
export const PACKAGE_FLOORS: Floors = [["evidence", "inventory"], ["policy"], ["server", "cli", "web"]];

/** Packages whose `src` runs unchanged in Node, browsers and Deno: no Node API there. */
export const PORTABLE_PACKAGES: readonly string[] = ["evidence", "inventory", "policy", "web"];

/**
 * Rooms of the server, lowest first. A room may import those on lower floors, and `BESIDE`. Of "where it lies", storage is the ground:
 * logs and keys lie in it. `http` is what routes of every room answer with when they refuse.
 */
export const ROOM_FLOORS: Floors = [
  ["http", "pressure", "egress"],
  ["storage"],
  ["log", "keys"],
  ["record"],
  ["jobs"],
  ["collection"],
  ["access"],
  ["trust", "witness"],
  ["attestations", "registry"],
  ["environments", "flows", "inventories", "sigstore", "releases"],
  ["audit", "review", "gate", "integrity", "webhooks", "mirrors"],
];

/** Rooms beside all floors: every room may tell them something, they ask no room anything. */
export const BESIDE: readonly string[] = ["signals"];

/** Files and folders of `packages/server/src` that compose the rooms. They may import everything; no room imports them. */
export const COMPOSITION: readonly string[] = [
  "app.ts",
  "composition.ts",
  "main.ts",
  "writer.ts",
  "writer-thread.ts",
  "admin.ts",
  "config.ts",
  "jobs-composition.ts",
  "witness-composition.ts",
  "admission.ts",
  "serve.ts",
  "health.ts",
  "tls.ts",
  "run.ts",
  "admin",
  "backup",
];

/** Files of `packages/server/src` below all rooms: every room may import them, they import no room. */
export const FOUNDATION: readonly string[] = ["errors.ts"];

export const ROOMS: readonly string[] = [...ROOM_FLOORS.flat(), ...BESIDE];

/** One restriction: what matches `regex` may not be imported, and why. */
export type Restriction = { regex: string; message: string };

/** Restrictions on the files that match `files` (globs from the repository's root). */
export type Override = { name: string; files: string[]; restrictions: Restriction[] };

/** Names that `name` may import: all on lower floors. */
export function below(floors: Floors, name: string): string[] {
  const floor = floors.findIndex((names) => names.includes(name));
  if (floor === -1) throw new Error(`"${name}" stands on no floor: add it to scripts/floors.ts`);
  return floors.slice(0, floor).flat();
}

const anyOf = (names: readonly string[]): string => `(?:${names.map((name) => name.replaceAll(".", "\\.")).join("|")})`;

/** A relative path that leaves the folder: `../x`, `../../x`. */
const UP = "^(?:\\./)?(?:\\.\\./)+";

const NODE_BUILTIN = `^(?:node:.+|${anyOf(builtinModules.filter((name) => !/^(?:node:|_)/.test(name)))}(?:/.*)?)$`;

function packageRestrictions(name: string): Restriction[] {
  const others = PACKAGE_FLOORS.flat().filter((other) => other !== name);
  const allowed = below(PACKAGE_FLOORS, name);
  const forbidden = others.filter((other) => !allowed.includes(other));
  return [
    {
      regex: `^@assay/${anyOf(forbidden)}(?:/.*)?$`,
      message: `packages/${name} may import ${allowed.length === 0 ? "no other package" : `only ${allowed.join(", ")}`}.`,
    },
    {
      regex: `${UP}(?:packages/)?${anyOf(others)}/(?:src|node|test|bench)/`,
      message: "Import another package by its name, not by a path into it.",
    },
  ];
}

function roomRestrictions(room: string): Restriction[] {
  const beside = BESIDE.includes(room);
  const allowed = beside ? [] : [...below(ROOM_FLOORS, room), ...BESIDE];
  const forbidden = ROOMS.filter((other) => other !== room && !allowed.includes(other));
  return [
    {
      regex: `${UP}${anyOf(forbidden)}/`,
      message: `The room ${room} may import ${allowed.length === 0 ? "no other room" : `only ${allowed.join(", ")}`}.`,
    },
    {
      regex: `${UP}${anyOf(COMPOSITION)}(?:/.*)?$`,
      message: "Only the composition root composes: a room does not import it.",
    },
  ];
}

/**
 * Every override, from general to particular. A later override of a file replaces an earlier one whole (that is how the linter reads
 * them), so each carries all restrictions of its files.
 */
export function overrides(): Override[] {
  const list: Override[] = [];
  for (const name of PACKAGE_FLOORS.flat()) {
    const restrictions = packageRestrictions(name);
    list.push({ name: `package ${name}`, files: [`packages/${name}/**`], restrictions });
    if (PORTABLE_PACKAGES.includes(name)) {
      list.push({
        name: `source of ${name}`,
        files: [`packages/${name}/src/**`],
        restrictions: [
          ...restrictions,
          { regex: NODE_BUILTIN, message: `packages/${name}/src runs in browsers too: no Node API here.` },
          {
            regex: `${UP}node/`,
            message: `packages/${name}/src runs in browsers too: what needs Node stays outside it.`,
          },
        ],
      });
    }
  }
  const server = packageRestrictions("server");
  for (const room of ROOMS) {
    list.push({
      name: `room ${room}`,
      files: [`packages/server/src/${room}/**`],
      restrictions: [...server, ...roomRestrictions(room)],
    });
  }
  list.push({
    name: "foundation",
    files: FOUNDATION.map((file) => `packages/server/src/${file}`),
    restrictions: [
      ...server,
      { regex: `^\\./${anyOf(ROOMS)}/`, message: "Every room stands on this file: it imports none of them." },
      {
        regex: `^\\./${anyOf(COMPOSITION)}(?:/.*)?$`,
        message: "Only the composition root composes: nothing imports it.",
      },
    ],
  });
  return list;
}

/** Whether `path` (from the repository's root, forward slashes) lies under a glob of the only two forms used above. */
function covers(glob: string, path: string): boolean {
  return glob.endsWith("/**") ? path.startsWith(glob.slice(0, -2)) : glob === path;
}

/** The restrictions on one file: those of the last override that covers it. */
export function restrictionsOn(path: string): Restriction[] {
  return overrides().findLast(({ files }) => files.some((glob) => covers(glob, path)))?.restrictions ?? [];
}

/** What in `packages/server/src` stands in no row of the table, given the names of the entries there. */
export function unplaced(entries: readonly string[]): string[] {
  const known = new Set([...ROOMS, ...COMPOSITION, ...FOUNDATION]);
  return entries.filter((entry) => !known.has(entry) && !entry.endsWith(".md"));
}
