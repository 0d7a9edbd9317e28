import { randomBytes } from "node:crypto";
import { appendFile, cp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { generateKeyPair } from "@assay/evidence/node";
import { formatPublicKeyPem } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/check.ts";
import { rebuildDirectory } from "../src/rebuild.ts";
import { composeParts } from "../src/composition.ts";
import { UNRECORDED_TABLES } from "../src/storage/unrecorded.ts";
import { databasePath } from "../src/storage/sqlite.ts";
import { type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";

const quiet = (): void => undefined;

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
  const made = [
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
      policy: {
        yaml: "version: 1\nname: p\nrules:\n  - id: signed\n    evidence:\n      predicateType: https://sigstore.dev/cosign/sign/v1\n      identities: [release]\n",
      },
    }),
  ];
  for (const answer of made) if (answer.status >= 300) throw new Error(JSON.stringify(answer));
  await instance.published();
  await instance.halt();
});

afterAll(async () => {
  await rm(instance.dataDirectory, { recursive: true, force: true });
});

function database(): DatabaseSync {
  return new DatabaseSync(databasePath(instance.dataDirectory));
}

/** Runs `alter`, checks, and puts everything back. */
async function findingsAfter(alter: (raw: DatabaseSync) => void): Promise<string[]> {
  const path = databasePath(instance.dataDirectory);
  const before = await readFile(path);
  const raw = database();
  alter(raw);
  raw.close();
  try {
    const report = await checkDirectory(instance.dataDirectory, quiet);
    return report.findings.map((finding) => `${finding.kind} | ${finding.where} | ${finding.problem}`);
  } finally {
    await writeFile(path, before);
    await rm(`${path}-wal`, { force: true });
    await rm(`${path}-shm`, { force: true });
  }
}

describe("the schema", () => {
  it("has no table that is neither the record itself, nor projected, nor listed as unrecorded", () => {
    const raw = database();
    const tables = raw
      .prepare("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")
      .all();
    raw.close();
    const own = ["event", "leaf", "log_state", "schema_migration"];
    const known = [...own, ...composeParts().projections, ...UNRECORDED_TABLES.map((listed) => listed.table)];
    expect(tables.map((row) => String(row["name"])).toSorted()).toEqual(known.toSorted());
  });
});

describe("check", () => {
  it("finds nothing wrong with an untouched directory", async () => {
    const report = await checkDirectory(instance.dataDirectory, quiet);
    expect(report.findings).toEqual([]);
    expect(report.events).toBeGreaterThan(15);
  });

  it.each([
    [
      "an event's bytes",
      "update event set bytes = cast(replace(cast(bytes as text), '1.0.3', '1.0.9') as blob) where cast(bytes as text) like '%1.0.3%'",
      /event \| event \d+ \| its bytes, salt and commitment/,
    ],
    [
      "one byte of an event",
      "update event set bytes = cast(substr(bytes, 1, 40) || X'20' || substr(bytes, 41) as blob) where sequence = 9",
      /event \| event 9/,
    ],
    ["a salt", "update leaf set salt = zeroblob(32) where sequence = 7", /event \| event 7/],
    ["a leaf", "update leaf set commitment = zeroblob(32) where sequence = 5", /event \| event 5/],
    ["a leaf's row away", "delete from leaf where sequence = 6", /leaf \| event 6 \| its leaf is missing/],
    ["an event's row away", "delete from event where sequence = 10", /events 10 to 10 are missing/],
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
    ["the log's root", "update log_state set root = zeroblob(32)", /log \|/],
  ])("finds and names it when somebody alters %s", async (_what, sql, expected) => {
    const findings = await findingsAfter((raw) => raw.exec(sql));
    expect(findings.join("\n")).toMatch(expected);
  });

  it("finds a consistent rewrite of an event, its salt and its leaf by the signed checkpoint", async () => {
    const { nodeCrypto } = await import("@assay/evidence/node");
    const { recordCommitment } = await import("@assay/evidence");
    const findings = await findingsAfter((raw) => {
      const row = raw.prepare("select max(sequence) as sequence from event").get();
      const sequence = Number(row?.["sequence"]);
      const old = raw.prepare("select bytes from event where sequence = ?").get(sequence)?.["bytes"] as Uint8Array;
      const bytes = new TextEncoder().encode(
        new TextDecoder().decode(old).replace('"actor":"admin"', '"actor":"admix"'),
      );
      const salt = new Uint8Array(32);
      raw.prepare("update event set bytes = ?, actor = 'admix' where sequence = ?").run(bytes, sequence);
      raw
        .prepare("update leaf set salt = ?, commitment = ? where sequence = ?")
        .run(salt, recordCommitment(nodeCrypto, salt, bytes), sequence);
    });
    expect(findings.join("\n")).toMatch(/checkpoint \|.*another history/);
  });

  it("finds a changed, a missing and an added row in every projected table that has rows", async () => {
    const tables = composeParts().projections;
    const raw = database();
    const filled = tables.filter(
      (table) => Number(raw.prepare(`select count(*) as n from "${table}"`).get()?.["n"]) > 0,
    );
    raw.close();
    expect(filled.length).toBeGreaterThan(tables.length / 2);
    for (const table of filled) {
      const changed = await findingsAfter((db) => {
        const columns = db.prepare(`select name, type, pk from pragma_table_info('${table}')`).all();
        const column = columns.find((info) => info["type"] === "text") ?? columns[0];
        const name = String(column?.["name"]);
        db.exec(`update "${table}" set "${name}" = "${name}" || 'x' where rowid = (select max(rowid) from "${table}")`);
      });
      expect(changed.join("\n"), table).toMatch(new RegExp(`projection \\| table ${table}.*altered or added`));
      const missing = await findingsAfter((db) =>
        db.exec(`delete from "${table}" where rowid = (select min(rowid) from "${table}")`),
      );
      expect(missing.join("\n"), table).toContain(`projection | table ${table}`);
    }
  }, 120_000);

  it("finds one altered byte of a blob, a blob gone, and a tile altered", async () => {
    const hex = image.layer.slice("sha256:".length);
    const path = join(instance.dataDirectory, "blobs", "sha256", hex.slice(0, 2), hex);
    const bytes = await readFile(path);
    await writeFile(path, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
    let report = await checkDirectory(instance.dataDirectory, quiet);
    expect(report.findings.map((finding) => finding.where)).toEqual([image.layer]);
    await writeFile(path, bytes);
    await rename(path, `${path}.away`);
    await rename(`${path}.away`, join(instance.dataDirectory, "away"));
    report = await checkDirectory(instance.dataDirectory, quiet);
    expect(report.findings.map((finding) => `${finding.where} ${finding.problem}`).join()).toContain(
      `${image.layer} it is missing`,
    );
    await rename(join(instance.dataDirectory, "away"), path);

    const directory = join(instance.dataDirectory, "logs", "record", "tile", "entries", "000.p");
    const [name] = await readdir(directory);
    if (name === undefined) throw new Error("no tile");
    const tile = await readFile(join(directory, name));
    await writeFile(
      join(directory, name),
      Buffer.concat([tile.subarray(0, 10), Buffer.from([(tile[10] ?? 0) ^ 1]), tile.subarray(11)]),
    );
    report = await checkDirectory(instance.dataDirectory, quiet);
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
    const report = await checkDirectory(instance.dataDirectory, quiet);
    expect(report.findings.map((finding) => finding.kind)).toEqual(["checkpoint"]);
    await writeFile(path, note);
    await appendFile(path, "");
  });
});

describe("rebuild of an older copy of the database", () => {
  it("refuses, and leaves the tiles alone: they may be all that is left of what came later", async () => {
    const other = await startInstance();
    try {
      const path = databasePath(other.dataDirectory);
      await other.published();
      await other.halt();
      await cp(path, `${path}.old`);
      await other.restart();
      expect((await other.api("POST", "/api/assay/v1/orgs", { name: "later" })).status).toBe(201);
      await other.published();
      await other.halt();
      await cp(`${path}.old`, path);
      for (const gone of [`${path}-wal`, `${path}-shm`]) await rm(gone, { force: true });
      const log = join(other.dataDirectory, "logs", "record");
      const files = await readdir(log, { recursive: true });
      await expect(rebuildDirectory(other.dataDirectory, undefined, quiet)).rejects.toMatchObject({
        code: "log-behind-checkpoint",
      });
      expect(await readdir(log, { recursive: true })).toEqual(files);
    } finally {
      await rm(other.dataDirectory, { recursive: true, force: true });
    }
  });
});

describe("rebuild", () => {
  it("refills emptied and altered tables to the identical content, and publishes the same tiles", async () => {
    const raw = database();
    for (const table of composeParts().projections) raw.exec(`delete from "${table}"`);
    raw.close();
    await rm(join(instance.dataDirectory, "logs", "record", "tile"), { recursive: true });
    await rebuildDirectory(instance.dataDirectory, undefined, quiet);
    const report = await checkDirectory(instance.dataDirectory, quiet);
    expect(report.findings).toEqual([]);
  });

  it("refuses to replay events that were altered, and changes nothing", async () => {
    const path = databasePath(instance.dataDirectory);
    const before = await readFile(path);
    const raw = database();
    raw.exec("update leaf set salt = zeroblob(32) where sequence = 3");
    const rows = raw.prepare("select count(*) as n from org_head").get();
    raw.close();
    await expect(rebuildDirectory(instance.dataDirectory, undefined, quiet)).rejects.toMatchObject({
      code: "check-failed",
    });
    const after = database();
    expect(after.prepare("select count(*) as n from org_head").get()).toEqual(rows);
    after.close();
    await writeFile(path, before);
    await rm(`${path}-wal`, { force: true });
    await rm(`${path}-shm`, { force: true });
  });
});
