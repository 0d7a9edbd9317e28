import { dirname } from "node:path";
import { parseVkey, type RecordReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "../clients.ts";
import { procedure } from "./guide.ts";
import { type Client, clientOf, installService, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

describe.skipIf(impossible !== undefined)(`backup and restore (${impossible ?? "on a real systemd"})`, () => {
  const backup = procedure("Backup");
  const nightly = procedure("Every night");
  const restore = procedure("Restore");
  const behind = procedure("A database behind its checkpoint");
  let reader: ReadersMachine;
  let client: Client;
  let vkey: string;
  /** By tag: what must be there after whatever happens. */
  const pushed = new Map<string, { readonly digest: string; readonly receipt: RecordReceipt }>();
  const must = (script: string): Promise<string> => reader.must(script);

  /** Somebody pushes an image, and keeps the receipt of the newest event. */
  async function push(tag: string): Promise<void> {
    const digest = await client.push(tag);
    pushed.set(tag, { digest, receipt: await client.receipt() });
  }

  /** The receipts that were kept for these tags hold under a key of the log. */
  async function proves(tags: readonly string[], key: string): Promise<void> {
    for (const tag of tags) {
      const { receipt } = pushed.get(tag) ?? {};
      if (receipt === undefined) throw new Error(`no receipt was kept for ${tag}`);
      expect((await verifyReceipt(nodeCrypto, receipt, [parseVkey(key)])).sequence, tag).toBe(receipt.sequence);
    }
  }

  const archives = async (): Promise<string[]> => (await must("ls /var/backups/assay")).trim().split("\n");

  /** All that was acknowledged and backed up is served, its receipts hold, and the same log goes on. */
  async function goesOn(tags: readonly string[], next: string): Promise<void> {
    for (const tag of tags) expect(await client.digest(tag), tag).toBe(pushed.get(tag)?.digest);
    await proves(tags, vkey);
    expect((await client.get("/logs/record/vkey")).trim()).toBe(vkey);
    await push(next);
    await proves([next], vkey);
    expect(await client.assay("record verify")).toMatch(/HOLDS[\s\S]*everything seen before is still there/);
  }

  /** What the timer does once a night; systemd takes so many at once for a fault. */
  const night = (): Promise<string> => must("systemctl reset-failed assay-backup; systemctl start assay-backup");

  beforeAll(async () => {
    reader = await startReadersMachine([dirname(clientProgram("crane"))]);
    await installService(reader);
    client = clientOf(reader);
    vkey = (await client.get("/logs/record/vkey")).trim();
    // What the guide tells to keep elsewhere: "a password manager, a safe".
    await must("cp /var/lib/assay/master.key kept-master.key");
    await push("1.0.0");
  });

  afterAll(() => reader.stop());

  it("makes a full archive and one of what came since, beside the running service, and verifies them", async () => {
    const said = await must(backup.step("monday.tar"));
    expect(said).toMatch(/monday\.tar: events 0 to \d+, [1-9]\d* blobs/);
    expect(said).toMatch(/tuesday\.tar: events \d+ to \d+, 0 blobs/);
    expect(said).toContain("everything holds");
    expect(await must("stat -c '%U %a' /var/backups/assay/monday.tar")).toBe("assay 600\n");
    expect(await must("tar -tf /var/backups/assay/monday.tar")).not.toMatch(/master\.key|admin-token|witness/);
    const metrics = await client.get("/metrics");
    const last = Number(/^assay_backup_last_timestamp_seconds (\S+)$/m.exec(metrics)?.[1]);
    expect(Math.abs(Date.now() / 1000 - last)).toBeLessThan(60);
  });

  it("encrypts one that only the identity opens, by our program and by age", async () => {
    await must(backup.step("age-keygen"));
    await must(backup.step("--recipient"));
    const locked = await reader.machine.follow("assay server verify-backup /var/backups/assay/wednesday.age");
    expect(locked.code).toBe(3);
    expect(locked.stderr).toContain("encrypted");
    const opened = await must(backup.step("age -d"));
    expect(opened).toContain("everything holds");
    expect(opened).toContain("manifest.json");
  });

  it("goes on every night by a timer: a full archive first, then what came since, encrypted while there are recipients", async () => {
    await must(nightly.step("assay-backup.timer"));
    expect(await must("systemctl is-enabled assay-backup.timer && systemctl is-active assay-backup.timer")).toBe(
      "enabled\nactive\n",
    );
    await push("1.0.1");
    await night();
    const encrypted = (await archives()).filter(
      (name) => name.endsWith("-full.tar.age") || name.endsWith("-more.tar.age"),
    );
    expect(encrypted).toHaveLength(2);
    expect(
      await must(
        `cd /var/backups/assay && assay server verify-backup ${encrypted.join(" ")} --identity-file "$OLDPWD/identity.txt"`,
      ),
    ).toContain("everything holds");
    // A recipients file that names none is a mistake, not a wish for an archive in the clear.
    const before = await archives();
    await must("cp /etc/assay/backup.recipients kept-recipients && echo '# none' > /etc/assay/backup.recipients");
    expect(
      (await reader.machine.follow("systemctl reset-failed assay-backup; systemctl start assay-backup")).code,
    ).not.toBe(0);
    expect(await archives()).toEqual(before);
    await must("rm /etc/assay/backup.recipients && systemctl start assay-backup");
    expect((await archives()).filter((name) => name.endsWith("-full.tar"))).toHaveLength(1);
    expect(await client.get("/metrics")).toMatch(/^assay_check_findings 0$/m);
  });

  it("makes a full one after a week, and keeps the newest five with what follows them", async () => {
    await must(`cd /var/backups/assay
      for day in 1 2 3 4 5; do touch 2026-01-0\${day}T020000Z-full.tar 2026-01-0\${day}T030000Z-more.tar; done
      find . -name '*-full.tar*' -exec touch -d '8 days ago' {} +
      rm -f ./*-full.tar.age* ./*-more.tar.age*`);
    await night();
    const left = (await archives()).filter((name) => name.startsWith("2026-"));
    expect(left.filter((name) => name.startsWith("2026-01"))).toEqual(
      [3, 4, 5].flatMap((day) => [`2026-01-0${day}T020000Z-full.tar`, `2026-01-0${day}T030000Z-more.tar`]),
    );
    expect(left.filter((name) => name.endsWith("-full.tar"))).toHaveLength(5);
    await must("rm /var/backups/assay/2026-01*");
  });

  it("restores on a machine that has nothing but the archives, the settings and the master key", async () => {
    await push("1.0.2");
    await night();
    await client.assay("record verify");
    await must("systemctl stop assay && rm -rf /var/lib/assay/*");
    await must(restore.step("kept-master.key"));
    const said = await must(restore.step("assay-admin restore"));
    expect(said).toContain("everything holds");
    expect(said).toMatch(/restored \d+ events and [1-9]\d* blobs/);
    expect(await must(restore.step("systemctl start assay"))).toContain("everything holds");
    await goesOn(["1.0.0", "1.0.1", "1.0.2"], "1.0.3");
  });

  it("restores where the database was lost, with every archive there is", async () => {
    await night();
    await must(restore.step("/var/lib/assay/lost"));
    await must("test ! -e /var/lib/assay/assay.db && test -e /var/lib/assay/logs/record/newest-checkpoint");
    await must(restore.step("assay-admin restore"));
    expect(await must(restore.step("systemctl start assay"))).toContain("everything holds");
    await goesOn(["1.0.0", "1.0.3"], "1.0.4");
  });

  it("refuses to sign over an older backup beside a newer checkpoint, and goes on once the newer archive is there", async () => {
    await night();
    const newest = (await archives()).findLast((name) => name.endsWith("-more.tar")) ?? "";
    await must(`mv /var/backups/assay/${newest} .`);
    await must(restore.step("/var/lib/assay/lost"));
    expect(await must(restore.step("assay-admin restore"))).toMatch(
      /the server will not start \(log-behind-checkpoint\)\.\n.*restore again with the newer archives added.*`assay server succeed`/,
    );
    const { code, stderr } = await reader.machine.follow(
      "set -a; . /etc/assay/assay.env; runuser -u assay -- env ASSAY_DATA=/var/lib/assay /opt/assay/node /opt/assay/server.mjs",
    );
    expect(code).toBe(3);
    expect(stderr).toMatch(/log-behind-checkpoint/);
    await must(`mv ${newest} /var/backups/assay/ && chown assay /var/backups/assay/${newest}`);
    await must(restore.step("/var/lib/assay/lost"));
    await must(restore.step("assay-admin restore"));
    await must(restore.step("systemctl start assay"));
    await goesOn(["1.0.3", "1.0.4"], "1.0.5");
  });

  it("closes the log when the rest is lost: its successor says so, and old receipts verify under the old key", async () => {
    await must(restore.step("/var/lib/assay/lost"));
    await must(restore.step("assay-admin restore"));
    const kept = await must(behind.step("succeed"));
    expect(kept).toMatch(/is closed: \d+ of its entries are kept, [1-9]\d* are lost/);
    expect(kept).toContain('"status":"ready"');
    expect(kept).toContain("everything holds");
    const successor = (await client.get("/logs/record/vkey")).trim();
    expect(successor).not.toBe(vkey);
    expect((await client.get("/logs/record.closed-1/vkey")).trim()).toBe(vkey);
    // 1.0.5 came after the last backup: it is gone, and the receipt somebody has of it still proves that it was there.
    expect(await client.digest("1.0.5")).toBeUndefined();
    await proves(["1.0.4", "1.0.5"], vkey);
    await push("1.0.6");
    await proves(["1.0.6"], successor);
    // An archive of the closed log is nothing to go on from: the night makes a full one.
    await night();
    const newest = (await archives()).findLast((name) => /^2.*\.tar$/.test(name)) ?? "";
    expect(newest).toMatch(/-full\.tar$/);
    expect(await must(`assay server verify-backup /var/backups/assay/${newest} --vkey ${successor}`)).toContain(
      "everything holds",
    );
  });
});
