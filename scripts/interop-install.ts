/**
 * Installs the real clients that the interop suite and the demo drive, each through its own package manager, into `.cache/interop`.
 *
 * What is there in the wanted version is left alone, so only the first run takes long: cosign builds cold in about seven minutes. Nothing
 * outside the folder changes, apart from Go's own module and build caches. `node scripts/interop-install.ts NAME…` installs only those.
 */
import { spawn } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { CLIENTS, type Client } from "../interop/clients.ts";
import { ROOT } from "./repository.ts";

const folder = fileURLToPath(new URL(".cache/interop/", ROOT));
const bin = join(folder, "bin");
const HEARTBEAT_MS = 30_000;

class InstallError extends Error {}

/** Runs a command to its end; its output is shown only when it fails. */
async function run(
  label: string,
  command: string,
  args: string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): Promise<void> {
  const started = performance.now();
  const seconds = (): string => ((performance.now() - started) / 1000).toFixed(0);
  const heartbeat = setInterval(() => console.log(`${label}: still at it after ${seconds()} s`), HEARTBEAT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      const child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      const keep = (chunk: Buffer): void => {
        output = `${output}${chunk.toString()}`.slice(-16_384);
      };
      child.stdout.on("data", keep);
      child.stderr.on("data", keep);
      child.on("error", (cause: NodeJS.ErrnoException) => {
        reject(
          cause.code === "ENOENT"
            ? new InstallError(
                `${label} needs \`${command}\`, which is not on the PATH: ${NEEDS[command] ?? "install it"}`,
              )
            : cause,
        );
      });
      child.on("close", (code) => {
        if (code === 0) resolve();
        else reject(new InstallError(`${label}: \`${command} ${args.join(" ")}\` ended with ${code}\n${output}`));
      });
    });
  } finally {
    clearInterval(heartbeat);
  }
}

const NEEDS: Record<string, string> = {
  go: "install Go 1.26 or newer (https://go.dev/doc/install); only the interop suite and the demo need it",
  npm: "npm comes with Node",
  python3: "install Python 3.11 or newer with its venv module; only the interop suite needs it",
  "apt-get": "install the program by your distribution's means",
  "dpkg-deb": "install the program by your distribution's means",
};

/** A program on the PATH. */
function onPath(name: string): string | undefined {
  for (const directory of (process.env["PATH"] ?? "").split(delimiter)) {
    if (directory === "") continue;
    try {
      accessSync(join(directory, name), constants.X_OK);
      return join(directory, name);
    } catch {
      // Not in this one.
    }
  }
  return undefined;
}

/** Unpacks packages into a folder as any user may: with lists and a cache of our own, so that nothing of the system's is touched. */
async function unpackDebian(client: Extract<Client, { from: "debian" }>): Promise<string> {
  const base = join(folder, "modules", client.name);
  rmSync(base, { recursive: true, force: true });
  for (const part of ["lists/partial", "cache/archives/partial", "packages", "root"]) {
    mkdirSync(join(base, part), { recursive: true });
  }
  const packages = join(base, "packages");
  const own = ["-q", "-o", `Dir::State::lists=${join(base, "lists")}`, "-o", `Dir::Cache=${join(base, "cache")}`];
  await run(client.name, "apt-get", [...own, "update"], { cwd: packages });
  await run(client.name, "apt-get", [...own, "download", ...client.packages], { cwd: packages });
  for (const file of readdirSync(packages)) {
    await run(client.name, "dpkg-deb", ["-x", join(packages, file), join(base, "root")], { cwd: packages });
  }
  for (const part of ["lists", "cache", "packages"]) rmSync(join(base, part), { recursive: true });
  return join(base, "root");
}

async function install(client: Client): Promise<void> {
  const target = join(bin, client.name);
  switch (client.from) {
    case "go": {
      // `go install` names the program after the last element of its package path.
      await run(client.name, "go", ["install", `${client.package}@${client.version}`], {
        cwd: folder,
        env: { ...process.env, GOBIN: bin, GOFLAGS: "-buildvcs=false" },
      });
      break;
    }
    case "go-wrapper": {
      // Some modules are served at exact versions only and without a version list, which `go install` asks for: a module of our own
      // that requires the one version does not.
      const wrapper = join(folder, "modules", client.name);
      rmSync(wrapper, { recursive: true, force: true });
      mkdirSync(wrapper, { recursive: true });
      const go = { cwd: wrapper, env: { ...process.env, GOFLAGS: "-buildvcs=false" } };
      await run(client.name, "go", ["mod", "init", `interop.invalid/${client.name}`], go);
      await run(client.name, "go", ["mod", "edit", "-require", `${client.module}@${client.version}`], go);
      await run(client.name, "go", ["build", "-mod=mod", "-o", target, client.package], go);
      break;
    }
    case "npm": {
      const prefix = join(folder, "modules", client.name);
      rmSync(prefix, { recursive: true, force: true });
      mkdirSync(prefix, { recursive: true });
      writeFileSync(join(prefix, "package.json"), '{ "private": true }\n');
      await run(
        client.name,
        "npm",
        ["install", "--no-audit", "--no-fund", "--no-package-lock", `${client.package}@${client.version}`],
        {
          cwd: prefix,
        },
      );
      rmSync(target, { force: true });
      symlinkSync(relative(bin, join(prefix, "node_modules", client.package, client.program)), target);
      break;
    }
    case "pip": {
      const environment = join(folder, "modules", client.name);
      rmSync(environment, { recursive: true, force: true });
      await run(client.name, "python3", ["-m", "venv", environment], { cwd: folder });
      const pip = join(environment, "bin/pip");
      await run(client.name, pip, ["install", "--quiet", `${client.package}==${client.version}`], { cwd: folder });
      rmSync(target, { force: true });
      symlinkSync(relative(bin, join(environment, client.program)), target);
      break;
    }
    case "debian": {
      rmSync(target, { force: true });
      const there = onPath(client.name);
      if (there !== undefined) {
        symlinkSync(there, target);
        break;
      }
      const root = await unpackDebian(client);
      // Some packages bring no libraries; others (libpulse) have libraries of their own in a folder beside the shared ones.
      const libraries = ["usr/lib", "lib"]
        .map((name) => join(root, name))
        .filter((shared) => existsSync(shared))
        .flatMap((shared) => readdirSync(shared, { withFileTypes: true, recursive: true }))
        .filter((entry) => entry.isFile() && /\.so(\.|$)/.test(entry.name))
        .map((entry) => entry.parentPath);
      writeFileSync(
        target,
        `#!/bin/sh\nLD_LIBRARY_PATH='${[...new Set(libraries)].join(":")}' exec '${join(root, client.program)}' "$@"\n`,
        { mode: 0o755 },
      );
      break;
    }
  }
  if (!existsSync(target)) throw new InstallError(`${client.name}: the installation ended well but left no ${target}`);
}

mkdirSync(bin, { recursive: true });
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !CLIENTS.some((client) => client.name === name));
if (unknown.length > 0) {
  console.error(`no such client: ${unknown.join(", ")}; there are ${CLIENTS.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}
for (const client of CLIENTS) {
  if (asked.length > 0 && !asked.includes(client.name)) continue;
  // The stamp holds everything the installation depends on: a changed row installs anew.
  const stamp = join(bin, `.${client.name}.json`);
  const wanted = `${JSON.stringify(client)}\n`;
  if (existsSync(join(bin, client.name)) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) {
    console.log(`${client.name} ${client.version}: there`);
    continue;
  }
  const started = performance.now();
  console.log(
    `${client.name} ${client.version}: installing with ${client.from === "go-wrapper" ? "go" : client.from} …`,
  );
  try {
    await install(client);
  } catch (error) {
    if (!(error instanceof InstallError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
  console.log(`${client.name} ${client.version}: installed in ${((performance.now() - started) / 1000).toFixed(0)} s`);
}
