import { randomBytes } from "node:crypto";
import { appendFile, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generateKeyPair } from "@assay/evidence/node";
import { formatPublicKeyPem } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CheckReport, checkDirectory } from "../src/admin/check.ts";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { composeParts } from "../src/composition.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import { UNRECORDED_TABLES } from "../src/storage/unrecorded.ts";
import { copyDatabase, dropPlace, ENGINE, openRaw, placeOf, type RawDatabase } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";
import { s3Of, withRawBlobs } from "./stored-blobs.ts";

const quiet = (): void => undefined;

/** What tells the rows of any table apart. */
const PLACE = ENGINE === "sqlite" ? "rowid" : "ctid";

let instance: Instance;
let image: { manifest: string; layer: string };

/** An instance in which every room has something: images, tags, trust, evidence, a policy, decisions. Then it is stopped. */
beforeAll(async () => {
  instance = await startInstance();
  const { url } = instance;
  for (let index = 0; index < 5; index += 1) {
    image = await pushImage(url, "default/app", `1.0.${index}`, randomBytes(500));
  }
  const key = generateKeyPair("ecdsa-p256-sha256");
  await instance.record.append({
    type: "collection.collect",
    org: SYSTEM_ORG,
    actor: SYSTEM_ACTOR,
    body: {
      blobs: [{ digest: `sha256:${"0".repeat(64)}`, size: 7, generation: 0 }],
      graceMs: 0,
      requestedBy: null,
    },
  });
  const own = "/api/assay/v1/orgs/default";
  const yaml =
    "version: 1\nname: p\nrules:\n  - id: signed\n    evidence:\n      predicateType: https://sigstore.dev/cosign/sign/v1\n      identities: [release]\n";
  const made = [
    await instance.api("PATCH", `${own}/repositories/app`, { description: "what is delivered" }),
    await instance.api("PUT", `${own}/retention`, {
      repository: "app",
      rules: [{ name: "dev", tags: ["*-dev"], keepLast: 5 }],
    }),
    await instance.api("POST", `${own}/repositories/app/deletions`, { tag: "1.0.0" }),
    await instance.api("PUT", `${own}/policies/p`, { yaml }),
    await instance.api("PUT", `${own}/pull-gates`, { repository: "default/none", policy: "p" }),
    await instance.api("PUT", `${own}/mirror`, { repository: "default/mirrored", url: "https://registry.invalid/x" }),
    await instance.api("POST", "/api/assay/v1/orgs", { name: "acme" }),
    await instance.api("POST", "/api/assay/v1/people", { name: "alice" }),
    await instance.api("PUT", "/api/assay/v1/orgs/acme/members/person/alice", { role: "admin" }),
    await instance.api("POST", "/api/assay/v1/people/alice/keys", { label: "laptop" }),
    await instance.api("POST", "/api/assay/v1/orgs/default/trust/entries", {
      name: "release",
      publicKeyPem: formatPublicKeyPem(key.publicKey),
      scope: { repositories: ["**"], predicateTypes: ["*"] },
    }),
    await instance.api("POST", "/api/assay/v1/orgs/default/reports", {
      subject: image.manifest,
      predicateType: "https://example.com/report",
      predicate: { found: 0 },
    }),
    await instance.api("POST", "/api/assay/v1/decisions", {
      org: "default",
      digest: image.manifest,
      policy: { yaml },
    }),
  ];
  for (const answer of made) if (answer.status >= 300) throw new Error(JSON.stringify(answer));
  await instance.published();
  await instance.halt();
});

afterAll(async () => {
  await dropPlace(instance.dataDirectory);
  await rm(instance.dataDirectory, { recursive: true, force: true });
});

async function withRaw<T>(work: (raw: RawDatabase) => Promise<T>): Promise<T> {
  const raw = await openRaw(instance.dataDirectory);
  try {
    return await work(raw);
  } finally {
    await raw.close();
  }
}

async function check(): Promise<CheckReport> {
  const place = await placeOf(instance.dataDirectory);
  return await checkDirectory({ ...place, s3: s3Of(instance.dataDirectory), tell: quiet });
}

async function rebuild(): Promise<void> {
  const { databaseUrl } = await placeOf(instance.dataDirectory);
  await rebuildDirectory({ dataDirectory: instance.dataDirectory, databaseUrl, tell: quiet });
}

/** Runs `alter`, checks, and puts everything back. */
async function findingsAfter(alter: (raw: RawDatabase) => Promise<void>): Promise<string[]> {
  const putBack = await copyDatabase(instance.dataDirectory);
  try {
    await withRaw(alter);
    const report = await check();
    return report.findings.map((finding) => `${finding.kind} | ${finding.where} | ${finding.problem}`);
  } finally {
    await putBack();
  }
}

describe("the schema", () => {
  it("has no table that is neither the record itself, nor projected, nor listed as unrecorded", async () => {
    const tables = await withRaw((raw) =>
      raw.all(
        ENGINE === "sqlite"
          ? "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'"
          : "select table_name as name from information_schema.tables where table_schema = 'public'",
      ),
    );
    const own = ["event", "leaf", "log_state", "schema_migration"];
    const known = [...own, ...composeParts().projections, ...UNRECORDED_TABLES.map((listed) => listed.table)];
    expect(tables.map((row) => String(row["name"])).toSorted()).toEqual(known.toSorted());
  });
});

describe("check", () => {
  it("finds nothing wrong with an untouched directory", async () => {
    const report = await check();
    expect(report.findings).toEqual([]);
    expect(report.events).toBeGreaterThan(15);
  });

  it.each([
    [
      "an event's bytes",
      ENGINE === "sqlite"
        ? "update event set bytes = cast(replace(cast(bytes as text), '1.0.3', '1.0.9') as blob) where cast(bytes as text) like '%1.0.3%'"
        : "update event set bytes = convert_to(replace(convert_from(bytes, 'UTF8'), '1.0.3', '1.0.9'), 'UTF8') where convert_from(bytes, 'UTF8') like '%1.0.3%'",
      /event \| event \d+ \| its bytes, salt and commitment/,
    ],
    [
      "one byte of an event",
      ENGINE === "sqlite"
        ? "update event set bytes = cast(substr(bytes, 1, 40) || X'20' || substr(bytes, 41) as blob) where sequence = 9"
        : "update event set bytes = substr(bytes, 1, 40) || '\\x20'::bytea || substr(bytes, 41) where sequence = 9",
      /event \| event 9/,
    ],
    ["a salt", "update leaf set salt = ZEROS where sequence = 7", /event \| event 7/],
    ["a leaf", "update leaf set commitment = ZEROS where sequence = 5", /leaf \| event 5 \| its commitment/],
    ["a leaf's row away", "delete from leaf where sequence = 6", /leaf \| event 6 \| its leaf is missing/],
    ["an event's row away", "delete from event where sequence = 10", /event \| event 10 \| it is missing/],
    [
      "a column that only repeats the event",
      "update event set actor = 'nobody' where sequence = 11",
      /event 11 \| column actor/,
    ],
    [
      "the newest events away",
      "delete from event where sequence > 14; delete from leaf where sequence > 14",
      /checkpoint|log/,
    ],
    ["the log's size", "update log_state set size = size - 1", /log \|/],
    ["the log's root", "update log_state set root = ZEROS", /log \|/],
  ])("finds and names it when somebody alters %s", async (_what, sql, expected) => {
    const findings = await findingsAfter((raw) => raw.run(sql.replaceAll("ZEROS", raw.bytes("00".repeat(32)))));
    expect(findings.join("\n")).toMatch(expected);
  });

  it("finds a consistent rewrite of an event, its salt and its leaf by the signed checkpoint", async () => {
    const { nodeCrypto } = await import("@assay/evidence/node");
    const { recordCommitment } = await import("@assay/evidence");
    const findings = await findingsAfter(async (raw) => {
      const [newest] = await raw.all("select sequence, bytes from event order by sequence desc limit 1");
      const sequence = Number(newest?.["sequence"]);
      const old = newest?.["bytes"] as Uint8Array;
      const bytes = new TextEncoder().encode(
        new TextDecoder().decode(old).replace('"actor":"admin"', '"actor":"admix"'),
      );
      const salt = new Uint8Array(32);
      await raw.run("update event set bytes = ?, actor = 'admix' where sequence = ?", [bytes, sequence]);
      await raw.run("update leaf set salt = ?, commitment = ? where sequence = ?", [
        salt,
        recordCommitment(nodeCrypto, salt, bytes),
        sequence,
      ]);
    });
    expect(findings.join("\n")).toMatch(/checkpoint \|.*another history/);
  });

  it("finds a changed, a missing and an added row in every projected table that has rows", async () => {
    const tables = composeParts().projections;
    const filled = await withRaw(async (raw) => {
      const found: string[] = [];
      for (const table of tables) {
        const [row] = await raw.all(`select count(*) as n from "${table}"`);
        if (Number(row?.["n"]) > 0) found.push(table);
      }
      return found;
    });
    expect(filled.length).toBeGreaterThan(tables.length / 2);
    for (const table of filled) {
      const changed = await findingsAfter(async (db) => {
        const [row] = await db.all(`select * from "${table}" limit 1`);
        const name = Object.keys(row ?? {}).find((column) => typeof row?.[column] === "string");
        await db.run(
          `update "${table}" set "${name}" = "${name}" || 'x' where ${PLACE} = (select max(${PLACE}) from "${table}")`,
        );
      });
      expect(changed.join("\n"), table).toMatch(new RegExp(`projection \\| table ${table}.*altered or added`));
      const missing = await findingsAfter((db) =>
        db.run(`delete from "${table}" where ${PLACE} = (select min(${PLACE}) from "${table}")`),
      );
      expect(missing.join("\n"), table).toContain(`projection | table ${table}`);
    }
  }, 120_000);

  it("finds one altered byte of a blob, a blob gone, and a tile altered", async () => {
    await withRawBlobs(instance.dataDirectory, async (raw) => {
      const bytes = await raw.read(image.layer);
      await raw.write(image.layer, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
      const altered = await check();
      expect(altered.findings.map((finding) => finding.where)).toEqual([image.layer]);
      await raw.remove(image.layer);
      const gone = await check();
      expect(gone.findings.map((finding) => `${finding.where} ${finding.problem}`).join()).toContain(
        `${image.layer} it is missing`,
      );
      await raw.write(image.layer, bytes);
    });

    const directory = join(instance.dataDirectory, "logs", "record", "tile", "entries", "000.p");
    const [name] = await readdir(directory);
    if (name === undefined) throw new Error("no tile");
    const tile = await readFile(join(directory, name));
    await writeFile(
      join(directory, name),
      Buffer.concat([tile.subarray(0, 10), Buffer.from([(tile[10] ?? 0) ^ 1]), tile.subarray(11)]),
    );
    const report = await check();
    expect(report.findings.map((finding) => finding.kind)).toEqual(["tile"]);
    await writeFile(join(directory, name), tile);
  });

  it("finds a checkpoint nobody signed", async () => {
    const path = join(instance.dataDirectory, "logs", "record", "newest-checkpoint");
    const note = await readFile(path, "utf8");
    await writeFile(
      path,
      note.replace(/\n(\d+)\n/, (_, size: string) => `\n${Number(size) - 1}\n`),
    );
    const report = await check();
    expect(report.findings.map((finding) => finding.kind)).toEqual(["checkpoint"]);
    await writeFile(path, note);
    await appendFile(path, "");
  });
});

describe("check against a checkpoint that was kept elsewhere", () => {
  it("holds while the record continues it, and finds an older or another history by it", async () => {
    const other = await startInstance();
    try {
      const { databaseUrl } = await placeOf(other.dataDirectory);
      const checkpoint = join(other.dataDirectory, "logs", "record", "checkpoint");
      const held = (kept: string) =>
        checkDirectory({
          dataDirectory: other.dataDirectory,
          databaseUrl,
          s3: s3Of(other.dataDirectory),
          against: kept,
          tell: quiet,
        });
      await other.published();
      await other.halt();
      const putBack = await copyDatabase(other.dataDirectory);
      const early = await readFile(checkpoint, "utf8");
      await other.restart();
      expect((await other.api("POST", "/api/assay/v1/orgs", { name: "later" })).status).toBe(201);
      await other.published();
      await other.halt();
      const late = await readFile(checkpoint, "utf8");
      expect((await held(early)).findings).toEqual([]);
      expect((await held(late)).findings).toEqual([]);
      // The whole directory as it was before: nothing in it says that there was more. What was kept does.
      await putBack();
      await rm(join(other.dataDirectory, "logs"), { recursive: true });
      await other.restart();
      await other.published();
      await other.halt();
      expect((await held(early)).findings).toEqual([]);
      expect((await held(late)).findings.map((finding) => `${finding.where}: ${finding.problem}`).join()).toMatch(
        /held against: it was signed over \d+ entries, the database has \d+: entries are missing/,
      );
    } finally {
      await dropPlace(other.dataDirectory);
      await rm(other.dataDirectory, { recursive: true, force: true });
    }
  });
});

describe("check of the private keys", () => {
  const keyFile = (name: string): string => join(instance.dataDirectory, name);

  it.each([
    ["the master key is gone", "master.key", undefined],
    ["the master key is another", "master.key", Buffer.alloc(32, 9).toString("base64")],
    ["the log's key is gone", "keys/log-record.key.json", undefined],
    ["a key file is damaged", "keys/vsa.key.json", "{}"],
  ])("finds it when %s", async (_what, name, content) => {
    const before = await readFile(keyFile(name));
    await rm(keyFile(name));
    if (content !== undefined) await writeFile(keyFile(name), content, { mode: 0o600 });
    const report = await check();
    expect(report.findings.map((finding) => finding.kind)).toEqual(["key"]);
    await writeFile(keyFile(name), before, { mode: 0o600 });
  });
});

describe("rebuild of an older copy of the database", () => {
  it("refuses, and leaves the tiles alone: they may be all that is left of what came later", async () => {
    const other = await startInstance();
    try {
      await other.published();
      await other.halt();
      const putBack = await copyDatabase(other.dataDirectory);
      await other.restart();
      expect((await other.api("POST", "/api/assay/v1/orgs", { name: "later" })).status).toBe(201);
      await other.published();
      await other.halt();
      await putBack();
      const log = join(other.dataDirectory, "logs", "record");
      const files = await readdir(log, { recursive: true });
      const { databaseUrl } = await placeOf(other.dataDirectory);
      await expect(
        rebuildDirectory({ dataDirectory: other.dataDirectory, databaseUrl, tell: quiet }),
      ).rejects.toMatchObject({
        code: "log-behind-checkpoint",
      });
      expect(await readdir(log, { recursive: true })).toEqual(files);
    } finally {
      await dropPlace(other.dataDirectory);
      await rm(other.dataDirectory, { recursive: true, force: true });
    }
  });
});

describe("rebuild", () => {
  it("refills emptied and altered tables to the identical content, and publishes the same tiles", async () => {
    await withRaw((raw) =>
      raw.run(
        composeParts()
          .projections.map((table) => `delete from "${table}"`)
          .join(";"),
      ),
    );
    await rm(join(instance.dataDirectory, "logs", "record", "tile"), { recursive: true });
    await rebuild();
    const report = await check();
    expect(report.findings).toEqual([]);
  });

  it("refuses to replay events that were altered, and changes nothing", async () => {
    const putBack = await copyDatabase(instance.dataDirectory);
    const heads = "select count(*) as n from org_head";
    const rows = await withRaw(async (raw) => {
      await raw.run(`update leaf set salt = ${raw.bytes("00".repeat(32))} where sequence = 3`);
      return await raw.all(heads);
    });
    await expect(rebuild()).rejects.toMatchObject({ code: "check-failed" });
    expect(await withRaw((raw) => raw.all(heads))).toEqual(rows);
    await putBack();
  });
});
