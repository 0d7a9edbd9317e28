/**
 * A machine of its own for the procedures of docs/operations.md: namespaces with a real systemd as process 1, a loopback that nobody
 * else uses, and private copies of the folders that the procedures write to. Nothing outside it changes. Needs root, and systemd.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Result, runProgram } from "../harness.ts";

const SYSTEMD = "/lib/systemd/systemd";
const START_LIMIT_MS = 20_000;

/** Why this host cannot have a machine; undefined when it can. */
export function whyNoMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const probe = spawnSync("unshare", ["--mount", "--pid", "--fork", "--net", "--cgroup", "test", "-x", SYSTEMD]);
  return probe.status === 0 ? undefined : "needs systemd (Debian package `systemd`) and the right to make namespaces";
}

export interface Machine {
  /** Follows a procedure's lines as root, with `bash -euo pipefail`. */
  follow(script: string, options?: { cwd?: string; timeoutMs?: number }): Promise<Result>;
  /** Its process 1, as the host numbers it. */
  readonly pid: number;
  /** Ends the machine as a power cut would, and removes its private folders. */
  stop(): Promise<void>;
}

/**
 * The machine's set-up, run as the first process of its namespaces before it becomes systemd. INVARIANT: every folder that systemd or a
 * procedure writes to is covered by a private one before systemd starts, and systemd finds no unit but the machine's own: it must never
 * run the host's (its tmpfiles units would empty the host's /tmp).
 */
function bootScript(folder: string): string {
  return `
set -eu
cp -a /etc ${folder}/etc
rm -rf ${folder}/etc/systemd/system
mkdir -p ${folder}/etc/systemd/system
for target in machine sysinit basic shutdown network-online multi-user timers; do
  printf '[Unit]\\nDefaultDependencies=no\\n' > ${folder}/etc/systemd/system/$target.target
done
mount --bind ${folder}/etc /etc
for place in /opt /srv /var/lib /var/log /var/backups /usr/local/bin /usr/local/sbin; do
  mkdir -p ${folder}/$place
  if [ \${place%/*} = /usr/local ]; then cp -a $place/. ${folder}/$place; fi
  mount --bind ${folder}/$place $place
done
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
ip link set lo up
exec env -i container=unshare SYSTEMD_UNIT_PATH=/etc/systemd/system PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  ${SYSTEMD} --system --unit=machine.target --log-target=console --show-status=no
`;
}

/** Boots a machine. `path` is what PATH holds inside, before the system's own. */
export async function startMachine(path: readonly string[]): Promise<Machine> {
  const folder = mkdtempSync(join("/var/tmp", "assay-machine-"));
  // What programs keep for their user must not outlive the machine.
  const home = join(folder, "home");
  mkdirSync(home);
  mkdirSync(join(folder, "etc"), { recursive: true });
  rmSync(join(folder, "etc"), { recursive: true });
  const script = join(folder, "boot.sh");
  writeFileSync(script, bootScript(folder));
  const child = spawn(
    "unshare",
    ["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc", "sh", script],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let log = "";
  child.stdout.on("data", (chunk: Buffer) => (log += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (log += chunk.toString()));
  const inside = (command: readonly string[], options: { timeoutMs?: number } = {}): Promise<Result> =>
    runProgram(
      "/usr/bin/nsenter",
      ["-t", String(firstProcess(child)), "-m", "-u", "-i", "-n", "-p", ...command],
      options,
    );
  const stop = async (): Promise<void> => {
    // Units take their private folders in the host's /tmp away when they stop, and not when they are killed.
    if (firstProcess(child) !== undefined) await inside(["systemctl", "stop", "*.service"], { timeoutMs: 30_000 });
    child.kill("SIGKILL");
    while (child.exitCode === null && child.signalCode === null) await sleep(20);
    rmSync(folder, { recursive: true, force: true });
  };
  const deadline = performance.now() + START_LIMIT_MS;
  while (performance.now() < deadline && child.exitCode === null) {
    await sleep(100);
    const pid = firstProcess(child);
    if (pid === undefined) continue;
    const state = await inside(["systemctl", "is-active", "machine.target"]);
    if (state.stdout.trim() !== "active") continue;
    return {
      pid,
      stop,
      follow: (procedure, options = {}) =>
        inside(
          [
            "env",
            "-i",
            `HOME=${home}`,
            `PATH=${[...path, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].join(":")}`,
            "bash",
            "--norc",
            "-euo",
            "pipefail",
            "-c",
            `cd ${options.cwd ?? "/"}\n${procedure}`,
          ],
          options,
        ),
    };
  }
  await stop();
  throw new Error(`the machine did not start:\n${log}`);
}

/** Lays a cable between two machines: the first has the address 10.99.0.1 then, the second 10.99.0.2. */
export async function connect(first: Machine, second: Machine): Promise<void> {
  const ends = [
    "link",
    "add",
    "cable",
    "netns",
    `${first.pid}`,
    "type",
    "veth",
    "peer",
    "name",
    "cable",
    "netns",
    `${second.pid}`,
  ];
  const laid = await runProgram("/usr/sbin/ip", ends);
  if (laid.code !== 0) throw new Error(`no cable between the machines: ${laid.stderr}`);
  for (const [machine, address] of [
    [first, "10.99.0.1/24"],
    [second, "10.99.0.2/24"],
  ] as const) {
    const up = await machine.follow(`ip address add ${address} dev cable && ip link set cable up`);
    if (up.code !== 0) throw new Error(`no address for a machine: ${up.stderr}`);
  }
}

/** The machine's process 1, as the host numbers it: the one child of `unshare`. */
function firstProcess(child: ChildProcess): number | undefined {
  try {
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
    return children === "" ? undefined : Number(children.split(" ")[0]);
  } catch {
    // It has ended; the caller sees that by its exit code.
    return undefined;
  }
}
