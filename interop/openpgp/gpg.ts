/** The real gpg and gpgv, in a home of their own. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProvenTime } from "@assay/evidence";

/** What gpgv says of a file of signatures, at the machine's time: it knows no other. */
export type GpgvVerdict = {
  /** It ended well, found a good signature by a key neither expired nor revoked, and none that is otherwise. */
  good: boolean;
  /** Its status lines, by name, that tell something of the verdict. */
  status: string[];
};

const TELLING: ReadonlySet<string> = new Set([
  "GOODSIG",
  "BADSIG",
  "ERRSIG",
  "EXPSIG",
  "EXPKEYSIG",
  "REVKEYSIG",
  "NODATA",
  "NO_PUBKEY",
  "UNEXPECTED",
]);

type RunOptions = {
  /** Seconds since 1970 that gpg takes for the present. */
  at?: number;
  input?: Uint8Array | string;
};

export class Gpg {
  readonly home: string;

  constructor() {
    // gpg-agent's sockets lie in it, and their paths must be short.
    this.home = mkdtempSync(join(tmpdir(), "gpg-"));
  }

  close(): void {
    spawnSync("gpgconf", ["--homedir", this.home, "--kill", "all"]);
    rmSync(this.home, { recursive: true, force: true });
  }

  file(name: string, content: Uint8Array | string): string {
    const path = join(this.home, name);
    writeFileSync(path, content);
    return path;
  }

  /** Runs gpg and returns what it writes. */
  run(args: readonly string[], { at, input = "" }: RunOptions = {}): Uint8Array {
    const time = at === undefined ? [] : ["--faked-system-time", `${at}!`];
    const common = [
      "--homedir",
      this.home,
      "--yes",
      "--no-tty",
      "--quiet",
      "--pinentry-mode",
      "loopback",
      "--passphrase",
      "",
    ];
    const interactive = args.includes("--command-fd") ? [] : ["--batch"];
    const { status, stdout, stderr } = spawnSync("gpg", [...common, ...interactive, ...time, ...args], { input });
    if (status !== 0) throw new Error(`gpg ${args.join(" ")} ended with ${status}: ${stderr.toString()}`);
    return new Uint8Array(stdout);
  }

  text(args: readonly string[], options?: RunOptions): string {
    return new TextDecoder().decode(this.run(args, options));
  }

  /** Makes a key and returns its fingerprint. */
  generate(name: string, algorithm: string, at: number, { usage = "sign,cert", expires = "0" } = {}): string {
    this.run(["--quick-generate-key", address(name), algorithm, usage, expires], { at });
    return this.fingerprints(name)[0] ?? "";
  }

  addSubkey(name: string, algorithm: string, usage: string, at: number, expires = "0"): string {
    this.run(["--quick-add-key", this.fingerprints(name)[0] ?? "", algorithm, usage, expires], { at });
    return this.fingerprints(name).at(-1) ?? "";
  }

  /** Fingerprints of the primary key and of its subkeys. */
  fingerprints(name: string): string[] {
    const listing = this.text(["--with-colons", "--list-keys", address(name)]);
    return listing.split("\n").flatMap((line) => (line.startsWith("fpr:") ? [line.split(":")[9] ?? ""] : []));
  }

  certificate(name: string): string {
    return this.text(["--armor", "--export", address(name)]);
  }

  /** Revokes a key, or a part of it, by gpg's dialogue. */
  edit(name: string, at: number, ...answers: string[]): void {
    this.run(["--command-fd", "0", "--edit-key", address(name)], { at, input: `${answers.join("\n")}\n` });
  }

  /** What gpgv says of signatures by keys of armoured certificates. Without a document, of a clear-signed text. */
  gpgv(certificates: readonly string[], signature: Uint8Array, document?: Uint8Array): GpgvVerdict {
    const ring = this.file(
      "ring.gpg",
      Buffer.concat(certificates.map((text) => this.run(["--dearmor"], { input: text }))),
    );
    const files = [
      this.file("signature", signature),
      ...(document === undefined ? [] : [this.file("document", document)]),
    ];
    const options = ["--homedir", this.home, "--keyring", ring, "--status-fd", "1"];
    const { status, stdout } = spawnSync("gpgv", [...options, ...files]);
    const lines = stdout.toString().split("\n");
    const names = lines.flatMap((line) => (line.startsWith("[GNUPG:] ") ? [line.split(" ")[1] ?? ""] : []));
    const telling = names.filter((name) => TELLING.has(name));
    return { good: status === 0 && telling.includes("GOODSIG"), status: telling };
  }
}

function address(name: string): string {
  return `${name} <${name}@example.org>`;
}

export function provenAt(seconds: number): ProvenTime[] {
  return [{ source: "received-here", time: seconds * 1000, evidence: "the test's word" }];
}
