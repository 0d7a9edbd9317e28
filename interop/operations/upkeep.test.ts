import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseVkey, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "../clients.ts";
import { procedure } from "./guide.ts";
import { type Client, clientOf, installService, ready, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

/** A data directory as the release before this one left it (packages/server/test/corpus/README.md). */
const EARLIER = "packages/server/test/corpus/5437d54.tar.gz";

describe.skipIf(impossible !== undefined)(`upkeep (${impossible ?? "on a real systemd"})`, () => {
  const check = procedure("Check");
  const rebuild = procedure("Rebuild");
  const upgrade = procedure("Upgrade");
  const rotate = procedure("Rotate the master key");
  const redact = procedure("Redact recorded events");
  const move = procedure("Move a data directory");
  let reader: ReadersMachine;
  let client: Client;
  let vkey: string;
  const must = (script: string): Promise<string> => reader.must(script);

  /** The service records and signs: a fresh receipt holds under the log's key. */
  async function signs(tag: string): Promise<void> {
    const digest = await client.push(tag);
    expect(await client.digest(tag)).toBe(digest);
    const receipt = await client.receipt();
    expect((await verifyReceipt(nodeCrypto, receipt, [parseVkey(vkey)])).sequence).toBe(receipt.sequence);
  }

  beforeAll(async () => {
    reader = await startReadersMachine([dirname(clientProgram("crane"))]);
    await installService(reader);
    client = clientOf(reader);
    vkey = (await client.get("/logs/record/vkey")).trim();
    await must("install -d -o assay -g assay -m 700 /var/backups/assay");
  });

  afterAll(() => reader.stop());

  it("redacts events and proves it: the text is gone from the record, its tables and its files", async () => {
    // The guide's events are 20 and 21.
    for (let size = await client.size(); size < 20; size += 1) {
      await client.post("/api/assay/v1/orgs", { name: `filler-${size}` });
    }
    // What is asked is the published checkpoint, which comes a moment after the event.
    await expect.poll(() => client.size(), { timeout: 10_000 }).toBe(20);
    await client.post("/api/assay/v1/people", { name: "alice" });
    await client.post("/api/assay/v1/people/alice/keys", { label: "laptop" });
    expect(await must(redact.step("--preview"))).toMatch(
      /^event 20 {2}access\.person-created of _system\n {2}\/body\/name {2}"alice" → "redacted-1"\nthe same text would still stand at\n {2}21:\/body\/principal {2}\(access\.api-key-created\)\nnothing was changed: this is a preview$/m,
    );
    const done = await must(redact.step("assay-admin redact --reason"));
    expect(done).toContain("redacted 2 events by event 22");
    expect(done).toContain("everything holds");
    expect(await must("grep -rl alice /var/lib/assay || true")).toBe("");
    const proven = await must(redact.step("--redaction redaction.json"));
    expect(proven).toContain(`REDACTED  record 20 of ${vkey.split("+")[0]}`);
    expect(proven).toContain("erasure request 17");
    await signs("1.0.0");
  });

  it("checks everything, what came since, and against a kept checkpoint; names a damaged blob", async () => {
    await must(check.step("curl"));
    await signs("1.0.1");
    expect(await must(check.step("--incremental"))).toMatch(/everything holds: \d+ events from event \d+ on/);
    expect(await must(check.step("--against"))).toContain("everything holds");

    const blob = (await must("find /var/lib/assay/blobs/sha256 -type f -size +90k | head -n 1")).trim();
    await must(`cp -p ${blob} kept-blob && printf x | dd of=${blob} bs=1 seek=7 conv=notrunc status=none`);
    const { code, stdout } = await reader.machine.follow("assay-admin check");
    expect(code).toBe(1);
    expect(stdout).toMatch(/^blob: .*\n {2}.*digest.*\n {2}since: found first .*, last found whole .*\n {2}→ .*push/m);
    await must(`cp -p kept-blob ${blob} && assay-admin check`);
  });

  it("refills a table that was altered", async () => {
    await must(`systemctl stop assay
      assay_node() { runuser -u assay -- /opt/assay/node "$@"; }
      assay_node --no-warnings -e 'const { DatabaseSync } = require("node:sqlite"); new DatabaseSync("/var/lib/assay/assay.db").exec("delete from tag");'
      systemctl start assay`);
    await ready(reader);
    expect(await client.digest("1.0.1")).toBeUndefined();
    expect((await reader.machine.follow("assay-admin check")).code).toBe(1);
    expect(await must(rebuild.step("rebuild"))).toMatch(/rebuilt from \d+ events/);
    await ready(reader);
    expect(await client.digest("1.0.1")).toBeDefined();
    expect(await must("assay-admin check")).toContain("everything holds");
  });

  it("puts a new release in place over the data directory of the one before, and finishes the upgrade", async () => {
    await must(upgrade.step("before-upgrade.tar"));
    const fresh = "/var/lib/assay.fresh";
    await must(`systemctl stop assay && cp -a /var/lib/assay ${fresh} && rm -rf /var/lib/assay/*
      tar -xzf ${EARLIER} && cp -a data/. /var/lib/assay/ && chown -R assay:assay /var/lib/assay && chmod 700 /var/lib/assay
      echo test-admin-token-0123456789 > /var/lib/assay/admin-token
      echo '// the next release' >> dist/server.mjs`);
    const said = await must(upgrade.step("cp -r dist/."));
    expect(said).toContain('"status":"ready"');
    expect(said).toMatch(/the schema has \d+ steps\nnothing is left for --finish/);
    await must("cmp dist/server.mjs /opt/assay/server.mjs");
    expect(await must(upgrade.step("--finish"))).toMatch(/^(nothing was left to do|finished: )/m);
    await ready(reader);
    expect(await must("assay-admin check")).toContain("everything holds");

    const then = JSON.parse(readFileSync(join(reader.clone, "as-then.json"), "utf8")) as { vkey: string };
    expect((await client.get("/logs/record/vkey")).trim()).toBe(then.vkey.trim());
    expect(await client.digest("1.0.0")).toBeDefined();
    await client.push("2.0.0");
    expect(await must("assay-admin check --incremental")).toContain("everything holds");
    await must(
      `systemctl stop assay && rm -rf /var/lib/assay/* && cp -a ${fresh}/. /var/lib/assay/ && rm -rf ${fresh} && systemctl start assay`,
    );
    await ready(reader);
  });

  it("rotates the master key: the service signs on, under the same keys, and the old master key opens nothing", async () => {
    await must("cp /var/lib/assay/master.key old-master.key");
    const said = await must(rotate.step("cat /var/lib/assay/master.key"));
    expect(said).toMatch(/[1-9]\d* private keys are under the new master key now \(master\.key\)/);
    expect(await must("cat old-master.key")).not.toBe(await must("cat /var/lib/assay/master.key"));
    await ready(reader);
    await signs("1.0.2");

    expect(await must(rotate.step("ASSAY_NEW_MASTER_KEY"))).toContain("(ASSAY_NEW_MASTER_KEY)");
    await must("test ! -e /var/lib/assay/master.key");
    await ready(reader);
    await signs("1.0.3");
    expect(await must("assay-admin check")).toContain("everything holds");

    await must("systemctl stop assay");
    const old = await reader.machine.follow(
      `export ASSAY_DATA=/var/lib/assay ASSAY_MASTER_KEY="$(cat ${reader.clone}/old-master.key)"; runuser -u assay -- /opt/assay/node /opt/assay/server.mjs`,
    );
    expect(old.code).toBe(3);
    expect(old.stderr).toContain("[key-unreadable]");
    await must("systemctl start assay");
    await ready(reader);
  });

  it("moves the data directory, and serves the same from there", async () => {
    const before = await client.digest("1.0.3");
    const said = await must(move.step("mv /var/lib/assay"));
    expect(said).toContain('"status":"ready"');
    expect(said).toContain("everything holds");
    expect(await client.digest("1.0.3")).toBe(before);
    await signs("1.0.4");
    expect(await must("stat -c '%U %a' /srv/assay /srv/assay/assay.db")).toBe("assay 700\nassay 600\n");
    // systemd keeps an empty directory where it was.
    expect(await must("ls -A /var/lib/assay")).toBe("");
  });

  it("shows a copy that was started beside the original: only what lies elsewhere can", async () => {
    // The original goes on to other events than the copy does.
    await must("systemctl stop assay && cp -a /srv/assay /srv/copy && systemctl start assay");
    await ready(reader);
    await client.push("original");
    await must("curl -sf http://127.0.0.1:8400/logs/record/checkpoint > /etc/assay/kept-checkpoint");
    await must(
      `systemctl stop assay && mv /srv/assay /srv/original && mv /srv/copy /srv/assay && systemctl start assay`,
    );
    await ready(reader);
    for (const tag of ["copy", "copy-2"]) await client.push(tag);
    expect(await must("assay-admin check")).toContain("everything holds");
    const { code, stdout } = await reader.machine.follow(check.step("--against"));
    expect(code).toBe(1);
    expect(stdout).toContain("another history");
  });
});
