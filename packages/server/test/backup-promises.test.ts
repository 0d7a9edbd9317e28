/** What a backup that ended well, and an archive that verified, promise: that it can be restored, and that a server then lacks nothing. */
import { createHash } from "node:crypto";
import { cp, lstat, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pack } from "tar-stream";
import { beforeAll, describe, expect, it } from "vitest";
import { backUp } from "../src/backup/backup.ts";
import { readTar } from "../src/backup/tar-reader.ts";
import { tryChain } from "../src/backup/trial.ts";
import { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import { halt, makePlace, newArchive, type Place, quiet, start, work } from "./backup-room.ts";

let source: Place;

beforeAll(async () => {
  source = await makePlace("own");
  const instance = await start(source);
  await work(instance, "one");
  await instance.published();
  await halt(instance);
}, 60_000);

describe("a backup", () => {
  const keys = (): string => join(source.dataDirectory, "keys");

  it.each<[string, () => Promise<void>]>([
    ["is missing", () => rm(join(keys(), "registry-token.key.json"))],
    ["of the log is missing", () => rm(join(keys(), "log-record.key.json"))],
    ["is damaged", () => writeFile(join(keys(), "vsa.key.json"), "{}")],
    [
      "is under another master key",
      async () => {
        const other = MasterKey.parse("11".repeat(32));
        await Keyring.reseal(keys(), "vsa.key.json", MasterKey.fromDirectory(source.dataDirectory, false), other);
      },
    ],
    [
      "is about to pass to another master key",
      () => writeFile(join(source.dataDirectory, "master.key.new"), `${"11".repeat(32)}\n`, { mode: 0o600 }),
    ],
  ])("is refused, leaving nothing behind, when a private key %s", async (_what, change) => {
    const path = newArchive();
    const kept = `${keys()}.kept`;
    await cp(keys(), kept, { recursive: true });
    await change();
    await expect(backUp({ ...source, to: path, tell: quiet })).rejects.toMatchObject({
      code: expect.stringMatching(/check-failed|backup-refused/) as unknown,
    });
    await expect(lstat(path)).rejects.toThrow("ENOENT");
    await rm(keys(), { recursive: true });
    await rename(kept, keys());
    await rm(join(source.dataDirectory, "master.key.new"), { force: true });
    await backUp({ ...source, to: path, tell: quiet });
  });

  it("does not take the place of a link that leads nowhere", async () => {
    const path = newArchive();
    await symlink("nowhere", path);
    await expect(backUp({ ...source, to: path, tell: quiet })).rejects.toMatchObject({ code: "backup-refused" });
    expect((await lstat(path)).isSymbolicLink()).toBe(true);
  });
});

interface Member {
  name: string;
  bytes: Buffer;
}

/** An archive taken apart, changed and put together again, its index made to fit: what only its id, kept elsewhere, could tell of. */
async function forged(archive: string, change: (members: Member[]) => Member[]): Promise<string> {
  const bytes = await readFile(archive);
  const members: Member[] = [];
  const pieces = async function* () {
    yield bytes;
  };
  for await (const { name, content } of readTar(pieces())) {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(Buffer.from(part));
    members.push({ name, bytes: Buffer.concat(parts) });
  }
  const changed = change(members.slice(0, -1));
  const index = JSON.parse(members.at(-1)?.bytes.toString() ?? "") as Record<string, unknown>;
  index["members"] = changed
    .filter(({ name }) => !name.startsWith("blobs/"))
    .map((member) => [member.name, member.bytes.length, createHash("sha256").update(member.bytes).digest("hex")]);
  index["blobs"] = changed
    .filter(({ name }) => name.startsWith("blobs/"))
    .map((member) => [member.name.slice("blobs/sha256/".length), member.bytes.length, 0]);
  const tar = pack();
  for (const member of [...changed, { name: "index.json", bytes: Buffer.from(`${JSON.stringify(index)}\n`) }]) {
    tar.entry({ name: member.name, mtime: new Date() }, member.bytes);
  }
  tar.finalize();
  const out: Uint8Array[] = [];
  for await (const piece of tar as unknown as AsyncIterable<Uint8Array>) out.push(piece);
  const path = newArchive();
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, Buffer.concat(out));
  return path;
}

describe("an archive whose index fits it", () => {
  const without = (prefix: string) => (members: Member[]) => {
    const [left] = members.filter(({ name }) => name.startsWith(prefix));
    return members.filter((member) => member !== left);
  };

  it.each<[string, (members: Member[]) => Member[], RegExp]>([
    ["is whole", (members) => members, /^$/],
    ["lacks a blob that the record needs", without("blobs/"), /^blob sha256:[0-9a-f]{64}: no archive has it/],
    ["lacks the log's key", without("keys/log-record"), /does not have the key of the log/],
    ["lacks another key", without("keys/vsa"), /does not have the vsa key/],
    [
      "has a key that is none",
      (members) =>
        members.map((member) =>
          member.name.startsWith("keys/vsa") ? { ...member, bytes: Buffer.from("{}") } : member,
        ),
      /keys\/vsa.key.json: it is no key/,
    ],
    [
      "has a counter of a column that no table has",
      (members) => [
        ...members.filter(({ name }) => !/^(unrecorded|closed|blobs)/.test(name)),
        { name: "unrecorded/denial/000000.jsonl", bytes: Buffer.from('{"x\\"; drop table event":1}\n') },
        ...members.filter(({ name }) => /^(closed|blobs)/.test(name)),
      ],
      /unrecorded\/denial: its rows do not go into the table/,
    ],
  ])(
    "is judged by what a restore of it would lack: it %s",
    async (_what, change, problem) => {
      const path = newArchive();
      await backUp({ ...source, to: path, tell: quiet });
      const findings: string[] = [];
      await tryChain({
        archives: [await forged(path, change)],
        decryption: {},
        tell: quiet,
        found: (finding) => findings.push(`${finding.where}: ${finding.problem}`),
      });
      expect(findings.join("\n")).toMatch(problem);
    },
    60_000,
  );
});

describe("a database that holds nothing, beside the keys of a record", () => {
  it("is not founded under the log's key: that would be another history of the same log", async () => {
    const place = await makePlace("directory");
    for (const name of ["keys", "master.key"]) {
      await cp(join(source.dataDirectory, name), join(place.dataDirectory, name), { recursive: true });
    }
    const log = async ({ dataDirectory }: Place): Promise<string | undefined> =>
      (await readFile(join(dataDirectory, "logs", "record", "newest-checkpoint"), "utf8")).split("\n")[0];
    await halt(await start(place));
    expect(await log(place)).not.toBe(await log(source));
  }, 60_000);
});
