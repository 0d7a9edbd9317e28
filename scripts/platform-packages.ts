/**
 * Optional platform packages of the lock file.
 *
 * npm writes an entry for an optional dependency only when the registry it talks to serves that package. Where one is not served the
 * lock lacks the entry, and `npm ci` then refuses the whole lock ("Missing: … from lock file"). Such packages are natives for other
 * platforms, and never get installed; what the lock needs is an entry that says so: version, `optional`, os, cpu, libc.
 */

/** One entry of `packages` in package-lock.json (lockfileVersion 3), as far as it is read here. */
export type LockEntry = {
  version?: string;
  resolved?: string;
  integrity?: string;
  link?: boolean;
  dev?: boolean;
  devOptional?: boolean;
  optional?: boolean;
  inBundle?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  engines?: Record<string, string>;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
};

export type Lock = { lockfileVersion: number; packages: Record<string, LockEntry> };

export type Platform = { os?: string[]; cpu?: string[]; libc?: string[] };

/** An optional dependency that no entry of the lock satisfies. `owner` is the lock path of the package that asks for it. */
export type MissingEntry = { owner: string; name: string; version: string };

const OPERATING_SYSTEMS = new Set([
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
]);

const PROCESSORS = new Set([
  "arm",
  "arm64",
  "ia32",
  "loong64",
  "mips64el",
  "ppc64",
  "riscv64",
  "s390x",
  "wasm32",
  "x64",
]);

const LIBRARIES: ReadonlyMap<string, string> = new Map([
  ["gnu", "glibc"],
  ["gnueabihf", "glibc"],
  ["musl", "musl"],
  ["musleabihf", "musl"],
]);

/**
 * What a platform package's name says about where it runs: `@oxlint/binding-linux-arm64-musl` is linux, arm64, musl.
 * The names follow Node's `process.platform` and `process.arch`.
 *
 * @returns undefined if the name names no platform; the caller must not guess then.
 */
export function platformOfName(name: string): Platform | undefined {
  const words = name.slice(name.lastIndexOf("/") + 1).split("-");
  const os = words.filter((word) => OPERATING_SYSTEMS.has(word));
  const cpu = words.filter((word) => PROCESSORS.has(word));
  const libc = words.map((word) => LIBRARIES.get(word)).filter((word) => word !== undefined);
  if (os.length > 1 || cpu.length !== 1 || libc.length > 1) return undefined;
  if (os.length === 0 && cpu[0] !== "wasm32") return undefined;
  return { ...(os.length > 0 && { os }), cpu, ...(libc.length > 0 && { libc }) };
}

/** The lock path that `name` resolves to when the package at `owner` asks for it: nearest `node_modules` upwards, as Node does it. */
export function resolveInLock(lock: Lock, owner: string, name: string): string | undefined {
  for (let folder = owner; ; ) {
    const path = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (Object.hasOwn(lock.packages, path)) return path;
    if (folder === "") return undefined;
    const cut = folder.lastIndexOf("/node_modules/");
    folder = cut === -1 ? "" : folder.slice(0, cut);
  }
}

/** Every optional dependency in the lock that has no entry, in a stable order. */
export function missingEntries(lock: Lock): MissingEntry[] {
  const missing: MissingEntry[] = [];
  for (const [owner, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (resolveInLock(lock, owner, name) === undefined) missing.push({ owner, name, version });
    }
  }
  return missing;
}

/**
 * The same lock with an entry for each missing optional dependency, entries in npm's order.
 *
 * @throws Error if a name gives no platform or a version is no exact one: such an entry would be a guess.
 */
export function completeLock(lock: Lock): { lock: Lock; added: MissingEntry[] } {
  const added = missingEntries(lock);
  const packages: Record<string, LockEntry> = { ...lock.packages };
  for (const { owner, name, version } of added) {
    const platform = platformOfName(name);
    if (platform === undefined) {
      throw new Error(
        `${name} (optional dependency of ${owner}) is not in the lock and its name names no platform: give it an entry by hand`,
      );
    }
    if (!isExactVersion(version)) {
      throw new Error(
        `${name} (optional dependency of ${owner}) is not in the lock and "${version}" is no exact version: give it an entry by hand`,
      );
    }
    const of = lock.packages[owner];
    packages[`node_modules/${name}`] = {
      version,
      ...(platform.cpu && { cpu: platform.cpu }),
      ...(of?.dev === true && { dev: true }),
      ...(of?.devOptional === true && { devOptional: true }),
      ...(platform.libc && { libc: platform.libc }),
      optional: true,
      ...(platform.os && { os: platform.os }),
    };
  }
  const sorted = Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en"));
  return { lock: { ...lock, packages: Object.fromEntries(sorted) }, added };
}

/**
 * Lock paths of the outside packages that state `engines`.
 *
 * npm holds `engines` against the Node that runs npm itself (Node 20 on a bare machine): it warns of packages that are fine under the
 * pinned Node they run on, and silently leaves out platform packages that it thinks too new. So the lock states none.
 */
export function entriesWithEngines(lock: Lock): string[] {
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.includes("node_modules/") && entry.engines !== undefined)
    .map(([path]) => path);
}

/** The same lock without the `engines` of outside packages. */
export function withoutEngines(lock: Lock): Lock {
  const packages = { ...lock.packages };
  for (const path of entriesWithEngines(lock)) {
    const { engines: _, ...rest } = packages[path] ?? {};
    packages[path] = rest;
  }
  return { ...lock, packages };
}

/** Whether `version` is one exact semantic version: no range, tag, path or URL. */
export function isExactVersion(version: string): boolean {
  return /^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/.test(version);
}
