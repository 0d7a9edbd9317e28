import { describe, expect, it } from "vitest";
import {
  completeLock,
  entriesWithEngines,
  isExactVersion,
  type Lock,
  missingEntries,
  platformOfName,
  resolveInLock,
  withoutEngines,
} from "../platform-packages.ts";

const lock = (packages: Lock["packages"]): Lock => ({ lockfileVersion: 3, packages });

describe("lock file of optional platform packages", () => {
  it.each([
    ["@biomejs/cli-linux-x64-musl", { os: ["linux"], cpu: ["x64"], libc: ["musl"] }],
    ["@biomejs/cli-darwin-arm64", { os: ["darwin"], cpu: ["arm64"] }],
    ["@oxlint/binding-linux-arm-gnueabihf", { os: ["linux"], cpu: ["arm"], libc: ["glibc"] }],
    ["@oxlint/binding-android-arm-eabi", { os: ["android"], cpu: ["arm"] }],
    ["@oxlint/binding-win32-ia32-msvc", { os: ["win32"], cpu: ["ia32"] }],
    ["@oxlint/binding-linux-riscv64-gnu", { os: ["linux"], cpu: ["riscv64"], libc: ["glibc"] }],
    ["@rolldown/binding-wasm32-wasi", { cpu: ["wasm32"] }],
    ["lightningcss-linux-arm64-musl", { os: ["linux"], cpu: ["arm64"], libc: ["musl"] }],
  ])("reads the platform off the name %s", (name, platform) => {
    expect(platformOfName(name)).toEqual(platform);
  });

  it.each(["fsevents", "@scope/linux", "x64", "linux-darwin-x64", "@linux-x64/tool"])(
    "guesses nothing from %s",
    (name) => {
      expect(platformOfName(name)).toBeUndefined();
    },
  );

  it("adds what is missing and nothing else, and is then content", () => {
    const before = lock({
      "": {},
      "node_modules/tool": {
        version: "1.2.3",
        dev: true,
        optionalDependencies: { "tool-linux-x64": "1.2.3", "tool-win32-x64": "1.2.3" },
      },
      "node_modules/tool-linux-x64": { version: "1.2.3", dev: true, optional: true, os: ["linux"], cpu: ["x64"] },
    });
    const { lock: after, added } = completeLock(before);
    expect(added).toEqual([{ owner: "node_modules/tool", name: "tool-win32-x64", version: "1.2.3" }]);
    expect(after.packages["node_modules/tool-win32-x64"]).toEqual({
      version: "1.2.3",
      cpu: ["x64"],
      dev: true,
      optional: true,
      os: ["win32"],
    });
    expect(missingEntries(after)).toEqual([]);
    expect(completeLock(after).lock).toEqual(after);
  });

  it("refuses to guess an entry for a name without a platform or a version that is no exact one", () => {
    expect(() => completeLock(lock({ "node_modules/a": { optionalDependencies: { fsevents: "2.3.3" } } }))).toThrow(
      /names no platform/,
    );
    expect(() =>
      completeLock(lock({ "node_modules/a": { optionalDependencies: { "a-linux-x64": "^1.0.0" } } })),
    ).toThrow(/no exact version/);
  });

  it("resolves a name as Node does: nearest node_modules first, then upwards", () => {
    const nested = lock({
      "node_modules/a": {},
      "node_modules/a/node_modules/b": {},
      "node_modules/b": {},
      "packages/p": {},
    });
    expect(resolveInLock(nested, "node_modules/a", "b")).toBe("node_modules/a/node_modules/b");
    expect(resolveInLock(nested, "packages/p", "b")).toBe("node_modules/b");
    expect(resolveInLock(nested, "node_modules/a/node_modules/b", "a")).toBe("node_modules/a");
    expect(resolveInLock(nested, "", "c")).toBeUndefined();
  });

  it("drops the engines of outside packages and keeps our own", () => {
    const with_ = lock({
      "": { engines: { node: ">=20" } },
      "packages/p": { engines: { node: ">=20" } },
      "node_modules/a": { version: "1.0.0", engines: { node: ">=22" } },
    });
    expect(entriesWithEngines(with_)).toEqual(["node_modules/a"]);
    expect(withoutEngines(with_).packages).toEqual({
      "": { engines: { node: ">=20" } },
      "packages/p": { engines: { node: ">=20" } },
      "node_modules/a": { version: "1.0.0" },
    });
  });

  it("takes only exact versions for exact", () => {
    for (const version of ["1.2.3", "0.0.0-20260212201848-7aac2a2c5b7c", "1.2.3+build.5"])
      expect(isExactVersion(version)).toBe(true);
    for (const version of ["^1.2.3", "1.2", "latest", "*", "", "file:../a", "1.2.3 || 2.0.0", "npm:x@1.0.0"]) {
      expect(isExactVersion(version)).toBe(false);
    }
  });
});
