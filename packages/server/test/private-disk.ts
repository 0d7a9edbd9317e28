/**
 * A small file system of a test's own, in a mount namespace that nothing else sees: root and ordinary users can make one alike. It ends
 * with the process that holds it, however that ends.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const HOW = `make it possible: run as root, or allow ordinary users namespaces
(sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container: --security-opt seccomp=unconfined)`;

export interface PrivateDisk {
  /** Where it is for whoever runs within. */
  readonly path: string;
  /** Where it is for this process. */
  readonly seen: string;
  /** What runs a command within. */
  readonly within: readonly string[];
  /** Runs a shell script as root within. */
  readonly run: (script: string) => void;
  /** Takes every free byte. */
  readonly fill: () => void;
  /** Gives back what {@link fill} took. */
  readonly free: () => void;
  end(): Promise<void>;
}

/**
 * Makes one.
 *
 * @param mount a shell script that mounts it at `$DISK`.
 * @throws Error that says how to make it possible.
 */
export async function privateDisk(mount: string): Promise<PrivateDisk> {
  const path = await mkdtemp(join(tmpdir(), "assay-disk-"));
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const holder: ChildProcess = spawn(
    "unshare",
    [...user, "--mount", "--propagation", "private", "sh", "-euc", `${mount}\necho mounted\nexec cat`],
    { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, DISK: path } },
  );
  let output = "";
  const mounted = await new Promise<boolean>((resolve) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (output.includes("mounted\n")) resolve(true);
    };
    holder.stdout?.on("data", hear);
    holder.stderr?.on("data", hear);
    holder.once("error", (error) => {
      output += error.message;
      resolve(false);
    });
    holder.once("exit", () => resolve(false));
  });
  if (!mounted) throw new Error(`this user cannot mount a disk of its own: ${output}\n${HOW}`);
  const pid = String(holder.pid);
  const within = [
    "nsenter",
    "--target",
    pid,
    "--mount",
    ...(user.length === 0 ? [] : ["--user", "--preserve-credentials"]),
  ];
  const seen = `/proc/${pid}/root${path}`;
  const filler = join(seen, "filler");
  return {
    path,
    seen,
    within,
    run(script) {
      const [command = "", ...args] = within;
      execFileSync(command, [...args, "sh", "-euc", script], { env: { ...process.env, DISK: path }, stdio: "pipe" });
    },
    fill() {
      const file = openSync(filler, "a");
      try {
        // In ever smaller pieces, until not a byte more fits.
        for (let size = 1024 * 1024; size >= 1; ) {
          try {
            if (writeSync(file, Buffer.alloc(size)) === size) continue;
          } catch (error) {
            if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
          }
          size >>= 2;
        }
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    },
    free: () => rmSync(filler, { force: true }),
    async end() {
      holder.stdin?.end();
      await new Promise<void>((resolve) => {
        if (holder.exitCode !== null || holder.signalCode !== null) resolve();
        else holder.once("exit", () => resolve());
      });
      await rm(path, { recursive: true, force: true });
    },
  };
}
