/** Commits and tags signed by the real git: what `git verify-commit` and `git verify-tag` say of them, Assay says. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPgp, readGitObject } from "@assay/evidence/openpgp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Gpg, provenAt } from "./gpg.ts";

const gpg = new Gpg();
const NOW = Math.floor(Date.now() / 1000);

function git(repository: string, args: readonly string[], input = ""): { ok: boolean; stdout: Uint8Array } {
  const { status, stdout } = spawnSync("git", ["-C", join(gpg.home, repository), ...args], {
    input,
    env: {
      PATH: process.env["PATH"],
      HOME: gpg.home,
      GNUPGHOME: gpg.home,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_AUTHOR_NAME: "A",
      GIT_AUTHOR_EMAIL: "a@example.org",
      GIT_COMMITTER_NAME: "A",
      GIT_COMMITTER_EMAIL: "a@example.org",
    },
  });
  return { ok: status === 0, stdout: new Uint8Array(stdout) };
}

function done(repository: string, ...args: string[]): string {
  const { ok, stdout } = git(repository, args);
  if (!ok) throw new Error(`git ${args.join(" ")} failed`);
  return new TextDecoder().decode(stdout).trim();
}

beforeAll(() => {
  gpg.generate("author", "ed25519", NOW - 86_400);
  const ssh = spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(gpg.home, "ssh")]);
  expect(ssh.status).toBe(0);
  for (const format of ["sha1", "sha256"]) {
    mkdirSync(join(gpg.home, format));
    done(format, "init", "-q", `--object-format=${format}`, "-b", "main");
    done(format, "config", "user.signingkey", "author@example.org");
    writeFileSync(join(gpg.home, format, "file"), "one\n");
    done(format, "add", "file");
    done(format, "commit", "-q", "-S", "-m", "A commit\n\nwith a body");
    done(format, "commit", "-q", "--allow-empty", "-m", "not signed");
    done(format, "tag", "-s", "-m", "A tag", "signed");
    done(format, "tag", "-a", "-m", "A tag", "unsigned");
  }
  // A merge of a signed tag carries that tag in a header of its own, with its signature.
  done("sha1", "checkout", "-q", "-b", "side", "HEAD~1");
  done("sha1", "commit", "-q", "--allow-empty", "-m", "side");
  done("sha1", "tag", "-s", "-m", "side tag", "side-tag");
  done("sha1", "checkout", "-q", "main");
  done("sha1", "merge", "-q", "-S", "--no-ff", "-m", "merge", "side-tag");
});
afterAll(() => gpg.close());

function objectOf(repository: string, kind: "commit" | "tag", name: string): Uint8Array {
  return git(repository, ["cat-file", kind, name]).stdout;
}

async function assaySays(kind: "commit" | "tag", content: Uint8Array): Promise<boolean> {
  const object = readGitObject(kind, content);
  if (object.signed !== "openpgp") return false;
  const { signature, document } = object;
  const result = await openPgp.verify({
    signature,
    document,
    certificates: [gpg.certificate("author")],
    times: provenAt(NOW + 60),
  });
  return result.outcome === "good";
}

function gitSays(repository: string, kind: "commit" | "tag", content: Uint8Array): boolean {
  const text = new TextDecoder().decode(content);
  const id = new TextDecoder().decode(
    git(repository, ["hash-object", "-t", kind, "-w", "--stdin", "--literally"], text).stdout,
  );
  return git(repository, [`verify-${kind}`, id.trim()]).ok;
}

describe.each(["sha1", "sha256"])("a repository of %s", (repository) => {
  test.each([
    ["commit", "HEAD~1", true],
    ["tag", "signed", true],
    ["tag", "unsigned", false],
  ] as const)("%s %s is good to both, or to neither", async (kind, name, good) => {
    const at = repository === "sha1" && kind === "commit" ? "side~1" : name;
    const content = objectOf(repository, kind, at);
    expect([await assaySays(kind, content), gitSays(repository, kind, content)]).toEqual([good, good]);
  });

  test.each(["commit", "tag"] as const)("a %s altered anywhere is good to neither", async (kind) => {
    const name = kind === "tag" ? "signed" : repository === "sha1" ? "side~1" : "HEAD~1";
    const text = new TextDecoder().decode(objectOf(repository, kind, name));
    for (const [from, to] of [
      ["a@example.org", "b@example.org"],
      ["A commit", "B commit"],
      ["A tag", "B tag"],
      ["author ", "author  "],
      ["tagger ", "tagger  "],
    ] as const) {
      if (!text.includes(from)) continue;
      const altered = new TextEncoder().encode(text.replace(from, to));
      expect([await assaySays(kind, altered), gitSays(repository, kind, altered)], from).toEqual([false, false]);
    }
  });
});

test("a merge of a signed tag is good to both", async () => {
  const content = objectOf("sha1", "commit", "main");
  expect(new TextDecoder().decode(content)).toContain("mergetag ");
  expect([await assaySays("commit", content), gitSays("sha1", "commit", content)]).toEqual([true, true]);
});

test("a commit signed with an SSH key is named as such, and not judged", () => {
  done(
    "sha1",
    "-c",
    "gpg.format=ssh",
    "-c",
    `user.signingkey=${join(gpg.home, "ssh.pub")}`,
    "commit",
    "-q",
    "--allow-empty",
    "-S",
    "-m",
    "ssh",
  );
  expect(readGitObject("commit", objectOf("sha1", "commit", "HEAD"))).toEqual({ signed: "unsupported", by: "ssh" });
});
