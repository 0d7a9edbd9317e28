import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseVkey, type RecordReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { describe, expect, it } from "vitest";
import { parseRequest, redactDirectory } from "../src/admin/redact.ts";
import { backUp, type BackupReport } from "../src/backup/backup.ts";
import { restore } from "../src/backup/restore.ts";
import { composeParts } from "../src/composition.ts";
import { newestSequence } from "../src/record/newest.ts";
import { openReader } from "../src/storage/open.ts";
import {
  check,
  containing,
  differences,
  emptyPlace,
  flipped,
  halt,
  type Kind,
  makePlace,
  newArchive,
  type Place,
  quiet,
  start,
  verify,
  vkeyOf,
  work,
} from "./backup-room.ts";
import { copyDatabase, ENGINE, openRaw } from "./database.ts";
import { startInstance } from "./instance.ts";
import { isSigned, startReceiver } from "./webhook-receiver.ts";
import { ADMIN_BASIC, pushImage } from "./pushing.ts";
import { withRawBlobs } from "./stored-blobs.ts";

describe("a backup of a running server under load", () => {
  it.each<[Kind, Kind]>(
    ENGINE === "postgres"
      ? [
          ["own", "directory"],
          ["directory", "own"],
        ]
      : [["directory", "directory"]],
  )(
    "of %s restores into %s: same tables, clean check, old receipts hold and the log goes on",
    async (from, to) => {
      const source = await makePlace(from);
      const instance = await start(source);
      const before = await work(instance, "first");
      let busy = true;
      const load = (async () => {
        const receipts: RecordReceipt[] = [];
        for (let index = 0; busy; index += 1) receipts.push(await work(instance, `load-${index}`));
        return receipts;
      })();
      const path = newArchive();
      await new Promise((resolve) => setTimeout(resolve, 200));
      const report = await backUp({ ...source, to: path, tell: quiet });
      busy = false;
      await load;
      expect(report.to).toBeGreaterThan(before.sequence);
      const vkey = await vkeyOf(instance);
      await instance.published();
      await halt(instance);

      expect((await verify([path], { vkey })).findings).toEqual([]);
      const target = await emptyPlace(source, to);
      expect(await restore({ ...target, archives: [path], tell: quiet })).toMatchObject({ events: report.to, vkey });
      expect(await check(target)).toEqual([]);
      const restored = await start(target);
      expect(await vkeyOf(restored)).toBe(vkey);
      const after = await work(restored, "after");
      expect(after.sequence).toBeGreaterThanOrEqual(report.to);
      for (const receipt of [before, after]) {
        expect((await verifyReceipt(nodeCrypto, receipt, [parseVkey(vkey)])).sequence).toBe(receipt.sequence);
      }
      await restored.published();
      await halt(restored);
      expect(await check(target)).toEqual([]);
    },
    120_000,
  );
});

describe("a chain of archives", () => {
  it("restores to the same tables as the record it was made of", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    const paths: string[] = [];
    const reports: BackupReport[] = [];
    for (const label of ["one", "two", "three"]) {
      await work(instance, label);
      await instance.published();
      const path = newArchive();
      reports.push(await backUp({ ...source, to: path, since: paths.at(-1), tell: quiet }));
      paths.push(path);
    }
    await halt(instance);
    expect(reports.map(({ from }) => from)).toEqual([0, reports[0]?.to, reports[1]?.to]);
    // Each has its own layer, manifest and report; the config is the same in all.
    expect(reports.map(({ blobs }) => blobs)).toEqual([4, 3, 3]);
    expect((await verify(paths)).findings).toEqual([]);
    const target = await emptyPlace(source);
    await restore({ ...target, archives: paths, tell: quiet });
    expect(await differences(source, target)).toEqual([]);
    const restored = await start(target);
    await restored.published();
    await halt(restored);
    expect(await check(target)).toEqual([]);
  }, 120_000);
});

describe("a backup", () => {
  it("is refused, by name and leaving nothing behind, when a blob is missing or altered", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    const image = await pushImage(instance.url, "default/app", "v1", randomBytes(3000));
    await instance.published();
    await halt(instance);
    await withRawBlobs(source.dataDirectory, async (raw) => {
      const bytes = await raw.read(image.layer);
      for (const damage of [
        () => raw.remove(image.layer),
        () => raw.write(image.layer, Buffer.concat([bytes.subarray(1), Buffer.from("x")])),
        () => raw.write(image.layer, bytes.subarray(1)),
      ]) {
        await damage();
        const path = newArchive();
        await expect(backUp({ ...source, to: path, tell: quiet })).rejects.toMatchObject({
          code: "check-failed",
          message: containing(image.layer),
        });
        expect((await readdir(dirname(path))).filter((name) => name.startsWith(basename(path)))).toEqual([]);
        await raw.write(image.layer, bytes);
      }
    });
  }, 60_000);

  it("is refused when an event is altered, and of a database that is an older copy", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    await instance.published();
    await halt(instance);
    const putBack = await copyDatabase(source.dataDirectory);
    const raw = await openRaw(source.dataDirectory);
    await raw.run(`update leaf set salt = ${raw.bytes("00".repeat(32))} where sequence = 2`);
    await raw.close();
    await expect(backUp({ ...source, to: newArchive(), tell: quiet })).rejects.toMatchObject({
      code: "check-failed",
      message: containing("event 2"),
    });
    await putBack();
    const again = await start(source);
    await work(again, "later");
    await again.published();
    await halt(again);
    await putBack();
    await expect(backUp({ ...source, to: newArchive(), tell: quiet })).rejects.toMatchObject({
      code: "log-behind-checkpoint",
    });
  }, 60_000);

  it("never replaces a file, and never holds the master key, the admin token or the witness key", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    await instance.published();
    const path = newArchive();
    await backUp({ ...source, to: path, tell: quiet });
    await expect(backUp({ ...source, to: path, tell: quiet })).rejects.toMatchObject({ code: "backup-refused" });
    await halt(instance);
    const bytes = await readFile(path);
    expect(bytes.includes((await readFile(join(source.dataDirectory, "master.key"))).subarray(0, 40))).toBe(false);
    expect(execFileSync("tar", ["tf", path], { encoding: "utf8" }).split("\n")).toEqual([
      "manifest.json",
      "keys/log-record.key.json",
      "keys/mirror.key.json",
      "keys/registry-token.key.json",
      "keys/vsa.key.json",
      "keys/webhook.key.json",
      "keys/workload-token.key.json",
      "events/000000.jsonl",
      "index.json",
      "",
    ]);
  }, 60_000);

  it("holds what was counted, and nothing that is under way", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    await instance.published();
    await halt(instance);
    const rows = async (place: Place): Promise<unknown[]> => {
      const reader = openReader(place);
      try {
        interface Counted {
          pull_count: { org: string };
          blob_lease: { org: string };
        }
        const tables = reader.tables<Counted>();
        return [
          await tables.selectFrom("pull_count").selectAll().execute(),
          await tables.selectFrom("blob_lease").selectAll().execute(),
        ];
      } finally {
        await reader.close();
      }
    };
    const raw = await openRaw(source.dataDirectory);
    await raw.run(
      "insert into pull_count (repository, digest, actor, day, org, count) values ('default/a', 'sha256:0', 'person:x', '2026-11-22', 'default', 7)",
    );
    await raw.run(
      "insert into blob_lease (repository, digest, org, size, expires) values ('default/a', 'sha256:0', 'default', 1, 9)",
    );
    await raw.close();
    const path = newArchive();
    await backUp({ ...source, to: path, tell: quiet });
    const target = await emptyPlace(source);
    await restore({ ...target, archives: [path], tell: quiet });
    const [counted] = await rows(source);
    expect(counted).toHaveLength(1);
    expect(await rows(target)).toEqual([counted, []]);
  }, 60_000);

  it("lets webhooks go on where they were, with their secrets, and tells what takes the place of lost events", async () => {
    const receiver = await startReceiver();
    const source = await makePlace("own");
    const first = await startInstance({ ...source, egressPrivate: [receiver.host] });
    const made = await first.api("POST", "/api/assay/v1/orgs/default/webhooks", {
      name: "ci",
      url: receiver.url,
      kinds: ["push"],
    });
    const { secret } = made.body as { secret: string };
    await pushImage(first.url, "default/app", "1.0.0-dev", randomBytes(10));
    await receiver.until(1);
    const settled = async (): Promise<number> => {
      const { body } = await first.api("GET", "/api/assay/v1/orgs/default/webhooks/ci/deliveries");
      return (body as { items: unknown[] }).items.length;
    };
    while ((await settled()) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await first.published();
    await first.stop();
    const raw = await openRaw(source.dataDirectory);
    // As of a moment later than the events that the archive holds.
    await raw.run("update webhook_cursor set position = position + 5");
    await raw.run("update webhook_delivery set sequence = sequence + 5");
    await raw.close();
    const path = newArchive();
    await backUp({ ...source, to: path, tell: quiet });
    const target = await emptyPlace(source);
    await restore({ ...target, archives: [path], tell: quiet });
    const restored = await startInstance({ ...target, egressPrivate: [receiver.host] });
    const { manifest } = await pushImage(restored.url, "default/app", "2.0.0-dev", randomBytes(10));
    await receiver.until(2);
    await restored.stop();
    await receiver.stop();
    const [, message] = receiver.received;
    if (message === undefined) throw new Error("nothing came");
    expect(message.event["subject"]).toBe(`default/app@${manifest}`);
    expect(await isSigned(message, secret)).toBe(true);
    expect(receiver.received).toHaveLength(2);
  }, 60_000);

  it("holds what stood under its checkpoint, even when it is deleted a moment later", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    const image = await pushImage(instance.url, "default/app", "v1", randomBytes(3000));
    const size = await newestSequence(instance.reader);
    const deleted = await fetch(`${instance.url}/v2/default/app/manifests/${image.manifest}`, {
      method: "DELETE",
      headers: { authorization: ADMIN_BASIC },
    });
    expect(deleted.status).toBe(202);
    const named = async (asOf?: number): Promise<string[]> => {
      const digests: string[] = [];
      for await (const { digest } of composeParts().blobs(instance.reader, asOf)) digests.push(digest);
      return digests;
    };
    expect(await named(size + 1)).toEqual(expect.arrayContaining([image.manifest, image.layer]));
    expect(await named()).toEqual([]);
    expect(await named(3)).toEqual([]);
  }, 60_000);

  it("of what came after holds what a redaction left of earlier events, and restores without what they said", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    const made = await instance.api("POST", "/api/assay/v1/people", { name: "mallory" });
    const { sequence } = (made.body as { receipt: RecordReceipt }).receipt;
    await instance.published();
    const full = newArchive();
    const { to } = await backUp({ ...source, to: full, tell: quiet });
    await halt(instance);
    await redactDirectory({
      ...source,
      reason: "erasure request 17",
      request: parseRequest([`${sequence}:/body/name=redacted-1`]),
      tell: quiet,
    });
    const newer = newArchive();
    expect((await backUp({ ...source, to: newer, since: full, tell: quiet })).from).toBe(to);
    const whole = newArchive();
    await backUp({ ...source, to: whole, tell: quiet });
    const says = async (archive: string): Promise<boolean> =>
      [...(await readFile(archive, "latin1")).matchAll(/"event":"([^"]*)"/g)].some(([, event = ""]) =>
        Buffer.from(event, "base64").includes("mallory"),
      );
    expect([await says(full), await says(newer), await says(whole)]).toEqual([true, false, false]);
    for (const archives of [[full, newer], [whole]]) {
      expect((await verify(archives)).findings).toEqual([]);
      const target = await emptyPlace(source);
      await restore({ ...target, archives, tell: quiet });
      expect(await differences(source, target)).toEqual([]);
      const restored = await start(target);
      const shown = await restored.api("GET", `/api/assay/v1/record/${sequence}`);
      expect(shown.body).toMatchObject({ event: { body: { name: "redacted-1" } } });
      await restored.published();
      await halt(restored);
      expect(await check(target)).toEqual([]);
    }
  }, 120_000);
});

describe("an encrypted archive", () => {
  it("opens for its recipients and under its passphrase, and for nobody else; the next one goes on from it without them", async () => {
    const source = await makePlace("own");
    const instance = await start(source);
    await work(instance, "one");
    await instance.published();
    const directory = dirname(newArchive());
    const secret = await generateX25519Identity();
    const file = async (name: string, text: string): Promise<string> => {
      await writeFile(join(directory, name), text);
      return join(directory, name);
    };
    const identityFile = await file("identity", `# a comment\n${secret}\n`);
    const strangerFile = await file("stranger", `${await generateX25519Identity()}\n`);
    const passphraseFile = await file("passphrase", "correct horse battery\nsecond line\n");
    const recipients = [await identityToRecipient(secret)];
    const full = newArchive();
    await backUp({ ...source, to: full, encryption: { recipients }, tell: quiet });
    await work(instance, "two");
    await instance.published();
    const newer = newArchive();
    await backUp({ ...source, to: newer, since: full, encryption: { recipients }, tell: quiet });
    await halt(instance);
    const archives = [full, newer];
    expect((await readFile(full)).includes("manifest.json")).toBe(false);
    expect((await verify(archives, { decryption: { identityFile } })).findings).toEqual([]);
    for (const decryption of [{}, { identityFile: strangerFile }, { passphraseFile }]) {
      await expect(verify(archives, { decryption })).rejects.toMatchObject({ code: "archive-locked" });
    }
    const target = await emptyPlace(source);
    await restore({ ...target, archives, decryption: { identityFile }, tell: quiet });
    expect(await differences(source, target)).toEqual([]);

    const bytes = await readFile(full);
    for (const damaged of [
      bytes.subarray(0, -1),
      bytes.subarray(0, bytes.length - 70_000),
      flipped(bytes, bytes.length >> 1),
    ]) {
      await writeFile(full, damaged);
      const { findings } = await verify([full], { decryption: { identityFile } });
      expect(findings.map(({ problem }) => problem).join()).toMatch(/cut off/);
    }
    const secretly = newArchive();
    await backUp({ ...source, to: secretly, encryption: { recipients: [], passphraseFile }, tell: quiet });
    expect((await verify([secretly], { decryption: { passphraseFile } })).findings).toEqual([]);
    await expect(
      backUp({ ...source, to: newArchive(), encryption: { recipients, passphraseFile }, tell: quiet }),
    ).rejects.toMatchObject({ code: "config-invalid" });
  }, 120_000);
});
