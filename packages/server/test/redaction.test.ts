import { randomBytes } from "node:crypto";
import { cp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  canonicalJson,
  parseVkey,
  type RecordReceipt,
  utf8Encode,
  verifyReceipt,
  verifyRedaction,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { rebuildDirectory } from "../src/admin/rebuild.ts";
import { parseRequest, previewRedaction, redactDirectory } from "../src/admin/redact.ts";
import { redactBytes } from "../src/record/redacted-bytes.ts";
import { composeParts } from "../src/composition.ts";
import { copyDatabase, dropPlace, ENGINE, openRaw, placeOf } from "./database.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { pushImage } from "./pushing.ts";
import { s3Of } from "./stored-blobs.ts";

const quiet = (): void => undefined;
const NAME = "mallory-smith";
const LABEL = 'Mällory’s "old" laptop';
const REASON = "erasure request 17";

interface Shown {
  readonly sequence: number;
  readonly event: { readonly type: string; readonly actor: string; readonly body: { readonly [key: string]: unknown } };
  readonly redacted?: { readonly by: number; readonly fields: string[] };
}

let instance: Instance;
let vkey: string;
let before: { readonly commitments: unknown[]; readonly receipts: Map<number, RecordReceipt> };
/** What names the person, as the preview finds it. */
let words: string[];

async function raw<T>(work: (database: Awaited<ReturnType<typeof openRaw>>) => Promise<T>): Promise<T> {
  const database = await openRaw(instance.dataDirectory);
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

const place = async () => ({
  ...(await placeOf(instance.dataDirectory)),
  s3: s3Of(instance.dataDirectory),
  tell: quiet,
});
const redact = async (...request: string[]) =>
  redactDirectory({ ...(await place()), reason: REASON, request: parseRequest(request) });
const findings = async () =>
  (await checkDirectory(await place())).findings.map(({ where, problem }) => `${where}: ${problem}`);
const commitments = () => raw((database) => database.all("select commitment from leaf order by sequence"));

/** Everything in every table, as text. */
async function dump(): Promise<string> {
  return await raw(async (database) => {
    const tables = await database.all(
      ENGINE === "sqlite"
        ? "select name from sqlite_schema where type = 'table'"
        : "select table_name as name from information_schema.tables where table_schema = 'public'",
    );
    const rows: Record<string, unknown>[][] = [];
    for (const { name } of tables) rows.push(await database.all(`select * from "${String(name)}"`));
    return rows
      .flat()
      .flatMap((row) => Object.values(row))
      .map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : String(value)))
      .join("\n");
  });
}

/** Every file of the data directory in which a text stands. */
async function filesWith(text: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(instance.dataDirectory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if ((await readFile(path)).includes(text)) found.push(path);
  }
  return found;
}

async function shown(sequence: number): Promise<Shown> {
  return (await instance.api("GET", `/api/assay/v1/record/${sequence}`)).body as Shown;
}

async function receipt(sequence: number): Promise<RecordReceipt> {
  const answer = await instance.api("GET", `/api/assay/v1/record/${sequence}/receipt`);
  if (answer.status !== 200) throw new Error(JSON.stringify(answer));
  return answer.body as RecordReceipt;
}

/** A person is made, given a role and a key, pushes with it, is refused once, and is removed. Then the server is stopped. */
beforeAll(async () => {
  instance = await startInstance();
  const done = async (method: string, path: string, body?: unknown, token = ADMIN_TOKEN): Promise<unknown> => {
    const answer = await instance.api(method, `/api/assay/v1${path}`, body, token);
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer)}`);
    return answer.body;
  };
  await done("POST", "/people", { name: NAME });
  await done("POST", "/people", { name: "bob" });
  await done("PUT", `/orgs/default/members/person/${NAME}`, { role: "admin" });
  const key = (await done("POST", `/people/${NAME}/keys`, { label: LABEL })) as { key: string };
  const token = key.key;
  const { manifest } = await pushImage(instance.url, "default/app", "1.0.0", randomBytes(100));
  await done(
    "POST",
    "/orgs/default/reports",
    { subject: manifest, predicateType: "https://example.com/r", predicate: { found: 1 } },
    token,
  );
  // Counted, not recorded: the name stands in a table of denials too.
  expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "theirs" }, token)).status).toBe(403);
  await instance.published();
  vkey = (await (await fetch(`${instance.url}/logs/record/vkey`)).text()).trim();
  const receipts = new Map<number, RecordReceipt>();
  const rows = await commitments();
  for (let sequence = 0; sequence < rows.length; sequence += 1) receipts.set(sequence, await receipt(sequence));
  before = { commitments: rows, receipts };
  await instance.halt();
});

afterAll(async () => {
  await dropPlace(instance.dataDirectory);
  await rm(instance.dataDirectory, { recursive: true, force: true });
});

describe("the preview of a redaction", () => {
  it("tells what would change and where else the text stands, and changes nothing", async () => {
    const created = [...before.receipts].find(
      ([, { event }]) =>
        Buffer.from(event ?? "", "base64").includes(`person-created`) &&
        Buffer.from(event ?? "", "base64").includes(NAME),
    )?.[0];
    const plan = await previewRedaction({
      ...(await place()),
      request: parseRequest([`${created}:/body/name=redacted-1`]),
    });
    expect(plan.events.map(({ sequence, fields }) => [sequence, fields])).toEqual([
      [created, [{ pointer: "/body/name", former: NAME, replacement: "redacted-1" }]],
    ]);
    const types = plan.elsewhere.map(({ type, pointer }) => `${type} ${pointer}`);
    expect(types).toContain("access.role-granted /body/principal");
    expect(types).toContain("access.api-key-created /body/principal");
    expect(types).toContain("attestations.evidence-added /actor");
    expect(await commitments()).toEqual(before.commitments);
    expect(await dump()).toContain(NAME);
    words = [
      `${created}:/body/name=redacted-1`,
      ...plan.elsewhere.map(({ sequence, pointer }) => `${sequence}:${pointer}=person:redacted-1`),
      ...plan.elsewhere
        .filter(({ type }) => type === "access.api-key-created")
        .map(({ sequence }) => `${sequence}:/body/label`),
    ];
  });
});

describe("what may not be redacted", () => {
  const sequenceOf = (type: string): number =>
    [...before.receipts].find(([, { event }]) =>
      Buffer.from(event ?? "", "base64").includes(`"type":"${type}"`),
    )?.[0] ?? -1;

  it.each([
    ["the log's birth", "record.log-created", "/body/origin", "redacted"],
    ["a key of the service", "keys.key-created", "/body/publicKey", "redacted"],
    ["a role", "access.role-granted", "/body/role", "redacted"],
    ["the hash of a secret", "access.api-key-created", "/body/secretHash", "redacted"],
    ["a digest", "registry.manifest-pushed", "/body/digest", "redacted"],
    ["who the service is", "record.log-created", "/actor", "redacted"],
    ["the organisation", "access.role-granted", "/org", "redacted"],
    ["a number", "access.api-key-created", "/body/expires", "redacted"],
    ["what is not there", "access.role-granted", "/body/constructor/name", "redacted"],
    ["a name, by what is no name", "access.person-created", "/body/name", "[redacted]"],
    ["a name, by what does not say so", "access.person-created", "/body/name", "bob-2"],
    ["a person, by a service account", "access.role-granted", "/body/principal", "service:default/redacted"],
    ["a repository, into another organisation", "registry.tag-set", "/body/repository", "acme/redacted"],
  ])("is %s", async (_what, type, pointer, replacement) => {
    await expect(redact(`${sequenceOf(type)}:${pointer}=${replacement}`)).rejects.toMatchObject({
      code: "redaction-invalid",
    });
    expect(await commitments()).toEqual(before.commitments);
  });

  it("is an event that there is not", async () => {
    await expect(redact("4711:/body/name=redacted")).rejects.toMatchObject({ code: "redaction-invalid" });
  });
});

describe("a redaction that cannot be replayed", () => {
  it("changes nothing at all", async () => {
    const whole = await dump();
    // Both people under one name: the second cannot be projected.
    const both = words.filter((word) => word.includes("/body/name"));
    const bob = [...before.receipts].find(([, { event }]) =>
      Buffer.from(event ?? "", "base64").includes('"name":"bob"'),
    )?.[0];
    await expect(redact(...both, `${bob}:/body/name=redacted-1`)).rejects.toThrow(/unique|duplicate/i);
    expect(await commitments()).toEqual(before.commitments);
    expect((await dump()).includes("redacted-1")).toBe(false);
    expect(whole).toContain(NAME);
    expect(await findings()).toEqual([]);
  });
});

describe("a redaction", () => {
  it("leaves the tree as it is, and nothing of the text anywhere", async () => {
    const { events, elsewhere, receipts } = await redact(...words);
    expect(events.length).toBeGreaterThan(3);
    expect(elsewhere).toEqual([]);
    const after = await commitments();
    expect(after.slice(0, before.commitments.length)).toEqual(before.commitments);
    expect(after.length).toBe(before.commitments.length + receipts.length);
    const rows = await dump();
    expect(rows).not.toContain(NAME);
    expect(rows).not.toContain("laptop");
    const files = ENGINE === "sqlite" ? [...(await filesWith(NAME)), ...(await filesWith("laptop"))] : [];
    expect(files).toEqual([]);
    expect(await findings()).toEqual([]);
  });

  it("is rebuilt to the identical tables", async () => {
    const sorted = async () => (await dump()).split("\n").toSorted();
    const whole = await sorted();
    await rebuildDirectory(await place());
    expect(await findings()).toEqual([]);
    expect((await sorted()).filter((value) => value.includes("redacted"))).toEqual(
      whole.filter((value) => value.includes("redacted")),
    );
  });

  it("is shown as one, and proven to whoever asks; receipts from before go on to hold", async () => {
    await instance.restart();
    const keys = [parseVkey(vkey)];
    const whole: number[] = [];
    const redacted: { sequence: number; old: RecordReceipt; now: Shown; proof: RecordReceipt; by: number }[] = [];
    for (const [sequence, old] of before.receipts) {
      expect((await verifyReceipt(nodeCrypto, old, keys)).sequence).toBe(sequence);
      const now = await shown(sequence);
      if (now.redacted === undefined) whole.push(sequence);
      else redacted.push({ sequence, old, now, proof: await receipt(sequence), by: now.redacted.by });
    }
    for (const sequence of whole)
      expect((await verifyReceipt(nodeCrypto, await receipt(sequence), keys)).sequence).toBe(sequence);
    expect(redacted.length).toBeGreaterThan(3);
    for (const { sequence, old, now, proof, by } of redacted) {
      expect(proof).toMatchObject({ redacted: by, commitment: old.commitment });
      expect(proof).not.toHaveProperty("event");
      expect(proof).not.toHaveProperty("salt");
      await expect(verifyReceipt(nodeCrypto, proof, keys)).rejects.toMatchObject({ code: "receipt-withheld" });
      const redaction = await receipt(by);
      const bytes = utf8Encode(canonicalJson(now.event as never));
      const verified = await verifyRedaction(nodeCrypto, { receipt: proof, shown: bytes, redaction }, keys);
      expect(verified).toMatchObject({ sequence, reason: REASON, fields: now.redacted?.fields });
      for (const pointer of verified.fields) expect(pointer).toMatch(/^\/(actor|body\/)/);
      const altered = utf8Encode(canonicalJson({ ...now.event, type: "x" } as never));
      await expect(
        verifyRedaction(nodeCrypto, { receipt: proof, shown: altered, redaction }, keys),
      ).rejects.toMatchObject({ code: "receipt-unproven" });
    }
    const { body } = await instance.api("GET", "/api/assay/v1/orgs/default/record");
    expect((body as { events: Shown[] }).events.some((event) => event.redacted !== undefined)).toBe(true);
    await instance.published();
    await instance.halt();
  });

  it("is found when what it left was altered, and when the old bytes came back", async () => {
    const putBack = await copyDatabase(instance.dataDirectory);
    const [redacted] = await raw((database) =>
      database.all("select sequence from redaction order by sequence limit 1"),
    );
    const sequence = Number(redacted?.["sequence"]);
    await raw((database) =>
      database.run("update event set bytes = ? where sequence = ?", [utf8Encode(`{"forged":1}`), sequence]),
    );
    expect((await findings()).join("\n")).toContain(`event ${sequence}: `);
    await putBack();
    const old = before.receipts.get(sequence);
    await raw(async (database) => {
      await database.run("update event set bytes = ? where sequence = ?", [
        Buffer.from(old?.event ?? "", "base64"),
        sequence,
      ]);
      await database.run("update leaf set salt = ? where sequence = ?", [
        Buffer.from(old?.salt ?? "", "base64"),
        sequence,
      ]);
    });
    expect((await findings()).join("\n")).toContain(`event ${sequence}: `);
    await putBack();
    expect(await findings()).toEqual([]);
  });

  it("asked for again takes nothing down, and rewrites the files; asked for otherwise it is redacted again", async () => {
    const count = (await commitments()).length;
    expect((await redact(...words)).receipts).toEqual([]);
    expect((await commitments()).length).toBe(count);
    const label = words.find((word) => word.endsWith("/label")) ?? "";
    const { receipts } = await redact(`${label}=a key, redacted`);
    expect(receipts.length).toBe(1);
    const [row] = await raw((database) =>
      database.all("select redacted_by from redaction where sequence = ?", [Number(label.split(":")[0])]),
    );
    expect(Number(row?.["redacted_by"])).toBe(count);
    expect(await findings()).toEqual([]);
  });

  it.runIf(ENGINE === "postgres")(
    "beside running hosts keeps their writes waiting, and they go on after it",
    async () => {
      await instance.restart();
      const label = words.find((word) => word.endsWith("/label")) ?? "";
      const [made, redacted] = await Promise.all([
        instance.api("POST", "/api/assay/v1/orgs", { name: "meanwhile" }),
        redact(`${label}=another redacted key`),
      ]);
      expect(redacted.receipts.length).toBe(1);
      expect([201, 503]).toContain(made.status);
      expect((await instance.api("POST", "/api/assay/v1/orgs", { name: "afterwards" })).status).toBe(201);
      await instance.published();
      await instance.halt();
      expect(await findings()).toEqual([]);
    },
  );

  it("may be of any strings that may be redacted, in any number: the record holds", async () => {
    const parts = composeParts();
    const whole = await commitments();
    const candidates = await raw(async (database) => {
      const rows = await database.all("select sequence, bytes, type from event order by sequence");
      return rows.flatMap((row) => {
        const sequence = Number(row["sequence"]);
        return ["/body/label", "/body/repository", "/body/tag", "/body/hint", "/actor"].flatMap((pointer) =>
          ["redacted-x", "default/redacted-x", "person:redacted-x"].flatMap((replacement) => {
            try {
              const definition = parts.events.get(String(row["type"]));
              const { fields } = redactBytes(
                sequence,
                row["bytes"] as Uint8Array,
                [{ pointer, replacement }],
                definition,
              );
              return fields.length === 0 ? [] : [`${sequence}:${pointer}=${replacement}`];
            } catch {
              return [];
            }
          }),
        );
      });
    });
    expect(candidates.length).toBeGreaterThan(4);
    const distinct = candidates.filter(
      (word, index) => candidates.findIndex((other) => other.split("=")[0] === word.split("=")[0]) === index,
    );
    await fc.assert(
      fc.asyncProperty(fc.subarray(distinct, { minLength: 1 }), async (chosen) => {
        const putBack = await copyDatabase(instance.dataDirectory);
        const log = join(instance.dataDirectory, "logs", "record");
        await cp(log, `${log}.kept`, { recursive: true });
        try {
          await redact(...chosen);
          expect((await commitments()).slice(0, whole.length)).toEqual(whole);
          expect(await findings()).toEqual([]);
        } finally {
          await putBack();
          // What was signed meanwhile would rightly refuse the database that comes back.
          await rm(log, { recursive: true });
          await rename(`${log}.kept`, log);
        }
      }),
      { numRuns: process.env["ASSAY_LONG"] === "1" ? 50 : 5 },
    );
  });
});
