/** A Debian repository that the real apt reads: what `apt-get update` accepts, Assay accepts. `repomd.xml.asc` is a plain detached signature. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openPgp } from "@assay/evidence/openpgp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Gpg, provenAt } from "./gpg.ts";

const gpg = new Gpg();
const NOW = Math.floor(Date.now() / 1000);
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

const packages = "Package: a\nVersion: 1\nArchitecture: all\nFilename: a.deb\nSize: 1\n\n";
const release = [
  "Origin: Test",
  "Suite: test",
  "Codename: test",
  `Date: ${new Date(NOW * 1000).toUTCString().replace("GMT", "UTC")}`,
  "Acquire-By-Hash: no",
  "SHA256:",
  ` ${createHash("sha256").update(packages).digest("hex")} ${packages.length} Packages`,
  "",
].join("\n");

beforeAll(() => {
  gpg.generate("archive", "rsa4096", NOW - 86_400);
  gpg.generate("successor", "ed25519", NOW - 86_400);
  gpg.generate("stranger", "rsa2048", NOW - 86_400);
});
afterAll(() => gpg.close());

/** Whether apt takes a repository of these files, signed by the archive's keys. */
function aptAccepts(files: Record<string, Uint8Array | string>): boolean {
  const base = join(gpg.home, "apt");
  rmSync(base, { recursive: true, force: true });
  for (const folder of ["repository", "lists/partial", "cache/archives/partial"])
    mkdirSync(join(base, folder), { recursive: true });
  for (const [name, content] of Object.entries({ Packages: packages, ...files })) {
    writeFileSync(join(base, "repository", name), content);
  }
  const keys = gpg.file("archive.asc", gpg.certificate("archive"));
  const more = gpg.file("successor.asc", gpg.certificate("successor"));
  const ring = gpg.file(
    "archive.gpg",
    Buffer.concat([keys, more].map((path) => gpg.run(["--dearmor", "--output", "-", path]))),
  );
  const list = gpg.file("sources.list", `deb [signed-by=${ring}] file:${join(base, "repository")} ./\n`);
  const options = {
    "Dir::Etc::SourceList": list,
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::State::lists": join(base, "lists"),
    "Dir::Cache": join(base, "cache"),
    "APT::Sandbox::User": "",
    "APT::Update::Error-Mode": "any",
  };
  const args = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return spawnSync("apt-get", ["-q", ...args, "update"]).status === 0;
}

async function assayAccepts(signature: Uint8Array, document?: Uint8Array): Promise<boolean> {
  const result = await openPgp.verify({
    signature,
    document: document ?? new Uint8Array(0),
    certificates: [gpg.certificate("archive"), gpg.certificate("successor")],
    times: provenAt(NOW + 60),
  });
  return result.outcome === "good";
}

const by = (...users: string[]): string[] => users.flatMap((user) => ["-u", `${user}@example.org`]);

test("an InRelease of one signature, and of two, is good to both", async () => {
  for (const users of [["archive"], ["archive", "successor"]]) {
    const signed = gpg.run([...by(...users), "--clearsign"], { input: release });
    expect([await assayAccepts(signed), aptAccepts({ InRelease: signed })]).toEqual([true, true]);
  }
});

test("an InRelease by a stranger, altered, or with text around it is good to neither", async () => {
  const signed = new TextDecoder().decode(gpg.run([...by("archive"), "--clearsign"], { input: release }));
  for (const bad of [
    new TextDecoder().decode(gpg.run([...by("stranger"), "--clearsign"], { input: release })),
    signed.replace("Origin: Test", "Origin: Evil"),
    `Origin: Evil\n\n${signed}`,
    `${signed}\nOrigin: Evil\n`,
  ]) {
    expect([await assayAccepts(encode(bad)), aptAccepts({ InRelease: bad })], bad).toEqual([false, false]);
  }
});

test("a Release with its Release.gpg is good to both, and altered to neither", async () => {
  const signature = gpg.run([...by("archive", "successor"), "--armor", "--detach-sign"], { input: release });
  expect([
    await assayAccepts(signature, encode(release)),
    aptAccepts({ Release: release, "Release.gpg": signature }),
  ]).toEqual([true, true]);
  const altered = release.replace("Suite: test", "Suite: evil");
  expect([
    await assayAccepts(signature, encode(altered)),
    aptAccepts({ Release: altered, "Release.gpg": signature }),
  ]).toEqual([false, false]);
});

test("an InRelease with a header of nobody's is refused; apt reads on without it", async () => {
  const signed = new TextDecoder().decode(gpg.run([...by("archive"), "--clearsign"], { input: release }));
  const bad = signed.replace("Hash: ", "Evil: yes\nHash: ");
  expect([await assayAccepts(encode(bad)), aptAccepts({ InRelease: bad })]).toEqual([false, true]);
});
