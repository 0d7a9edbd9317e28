/**
 * One bit at a time, anywhere: whatever is stored, `check` finds that it was altered and names it. ASSAY_LONG=1 flips a thousand; a run
 * can be repeated with the seed it reports (ASSAY_SEED).
 */
import { randomBytes, randomInt } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  cosignatureLine,
  cosignedBytes,
  formatCheckpoint,
  formatNote,
  formatVkey,
  NOTE_COSIGNATURE_ED25519,
  NOTE_ED25519,
  noteSignatureLine,
  noteSignedBytes,
  parseNote,
  parseTlogPolicy,
  parseVkey,
  type TlogPolicy,
  utf8Encode,
} from "@assay/evidence";
import { generateKeyPair } from "@assay/evidence/node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type CheckReport, checkDirectory } from "../src/admin/check.ts";
import { recordBootstrapUses } from "../src/access/bootstrap-use.ts";
import { findPrincipal } from "../src/access/queries.ts";
import { currentWorkload } from "../src/access/workload-queries.ts";
import { parseRequest, redactDirectory } from "../src/admin/redact.ts";
import { composeParts } from "../src/composition.ts";
import { Keyring, rawEd25519 } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import { mirrorActor } from "../src/mirrors/commands.ts";
import { currentMirror } from "../src/mirrors/queries.ts";
import { SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import type { WitnessLogs } from "../src/witness/logs-file.ts";
import { makeRoot } from "./certified.ts";
import { ADMIN } from "./core.ts";
import { dropPlace, ENGINE, openRaw, placeOf, type RawDatabase } from "./database.ts";
import { artifact, attest, makeKey, openRoom, provenance, type Room } from "./evidence-room.ts";
import { ADMIN_BASIC, pushImage, pushImageBySha512 } from "./pushing.ts";
import { openRawBlobs, s3Of } from "./stored-blobs.ts";

const LONG = process.env["ASSAY_LONG"] === "1";
const ROUNDS = LONG ? 1_000 : 120;
const SEED = Number(process.env["ASSAY_SEED"] ?? randomInt(2 ** 31));

/** What tells the rows of any table apart, as text: a row whose key was altered may have one that no number holds. */
const PLACE = ENGINE === "sqlite" ? "cast(rowid as text)" : "ctid::text";

let directory: string;
let witnesses: TlogPolicy;
let witnessed: WitnessLogs;

/** Random numbers that come the same again with the same seed (mulberry32). */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const random = seeded(SEED);

function pick<T>(list: readonly T[]): T {
  const one = list[random(list.length)];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
}

/** Something of every room, in every projected table; more events than a tile holds; a redacted event; a cosigned checkpoint. */
async function fill(room: Room): Promise<void> {
  const { instance } = room;
  const must = async (method: string, path: string, body?: unknown, token?: string): Promise<void> => {
    const answer = await room.call(method, path, body, token);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
  };
  const image = await pushImage(instance.url, "acme/app", "1.0.0", randomBytes(500));
  await pushImage(instance.url, "acme/app", "1.0.1", randomBytes(40_000));
  await pushImage(instance.url, "acme/app", "1.0.1-dev", randomBytes(10));
  await pushImageBySha512(instance.url, "acme/app", "1.0.2", randomBytes(300));
  const builder = makeKey();
  await room.trust("acme", builder, { name: "builder", primary: true });
  const subject = artifact("built");
  if ((await room.post("acme", await provenance(builder, subject, "1"), "app")).status !== 201)
    throw new Error("primary");
  const step = { artifactType: "file", flow: "project-a", trail: "trail-1", name: "backend" };
  const stepped = await attest(builder, subject, "https://assay.dev/attestation/artifact/v1", step);
  if ((await room.post("acme", stepped, "app")).status !== 201) throw new Error("step");
  const alice = await room.person("alice", "acme", "admin");
  await must(
    "POST",
    "/orgs/acme/reports",
    { subject: image.manifest, predicateType: "https://example.com/report", predicate: { found: 0 } },
    alice.token,
  );
  const yaml =
    "version: 1\nname: p\nrules:\n  - id: signed\n    evidence:\n      predicateType: https://sigstore.dev/cosign/sign/v1\n      identities: [builder]\n";
  await must("PUT", "/orgs/acme/policies/p", { yaml });
  await must("POST", "/decisions", { org: "acme", digest: image.manifest, policy: { name: "p" } });
  await must("POST", "/decisions", { org: "acme", digest: image.manifest, policy: { yaml } });
  await must("PUT", "/orgs/acme/pull-gates", { repository: "acme/none", policy: "p" });
  await must("PUT", "/orgs/acme/pull-gates", { repository: "acme/none", policy: "p", platforms: "index" });
  await must("PUT", "/orgs/acme/trust/roots/house", { certificates: (await makeRoot("House")).cert });
  await must("PUT", "/orgs/acme/repository-roles/person/alice", { repository: "acme/app", role: "member" });
  await exchange(room, must);
  await must("POST", "/orgs/acme/repositories", { name: "ahead", immutableTags: ["stable"] });
  await must("PATCH", "/orgs/acme/repositories/app", { description: "what is delivered" });
  await expectStatus(403, instance.url, "PUT", "acme/app/manifests/1.0.1", image.manifest);
  await expectStatus(202, instance.url, "DELETE", "acme/app/manifests/1.0.1-dev");
  const rules = [{ name: "dev", tags: ["*-dev"], keepLast: 5 }];
  await must("PUT", "/orgs/acme/retention", { repository: "acme/app", rules });
  await must("PUT", "/orgs/acme/quota", { bytes: 1_000_000 });
  await must("PUT", "/orgs/acme/repositories/app/quota", { bytes: 500_000 });
  await must("PUT", "/orgs/acme/repositories/app/quota", { bytes: 600_000 });
  const collected = await instance.record.append({
    type: "collection.collect",
    org: SYSTEM_ORG,
    actor: SYSTEM_ACTOR,
    body: { blobs: [{ digest: artifact("nowhere"), size: 7, generation: 0 }], graceMs: 0, requestedBy: null },
  });
  if (!collected.ok) throw new Error(collected.refusal.message);
  const hook = { url: "https://hooks.example.com/x", kinds: ["push"], repositories: ["acme/none"] };
  await must("POST", "/orgs/acme/webhooks", { name: "ci", ...hook });
  await must("POST", "/orgs/acme/webhooks/ci/rotate", {});
  await must("POST", "/orgs/acme/webhooks/ci/pause");
  await must("PUT", "/orgs/acme/mirror", { repository: "acme/mirrored", url: "https://registry.invalid/x" });
  await must("PUT", "/orgs/acme/replications/out", {
    direction: "push",
    repositories: ["acme/none"],
    url: "https://registry.invalid/x",
  });
  const brought = { repository: "acme/mirrored", size: 2, mediaType: "application/vnd.oci.image.manifest.v1+json" };
  for (const [type, body] of [
    ["registry.put-manifest", { ...brought, digest: artifact("{}"), references: [], tags: ["3.0.0"] }],
    ["mirrors.refuse-tag", { repository: "acme/mirrored", tag: "3.0.0", refused: artifact("moved") }],
  ] as const) {
    const mirror = await currentMirror(instance.reader, "acme/mirrored");
    const actor = mirrorActor("acme/mirrored", mirror?.from_seq ?? -1);
    const made = await instance.record.append({ type, org: "acme", actor, body: { ...body } });
    if (!made.ok) throw new Error(made.refusal.message);
  }
  const lastHour = Math.floor(Date.now() / 3_600_000) - 1;
  await instance.record.operate("access.count-bootstrap-uses", {
    uses: [{ hour: lastHour, route: "GET /api/assay/v1/orgs", count: 3 }],
  });
  await recordBootstrapUses(instance.record);
  for (let from = 0; from < 300; from += 50) {
    const people = Array.from({ length: 50 }, (_, at) => ({
      type: "access.create-person",
      org: SYSTEM_ORG,
      actor: ADMIN,
      body: { name: `person-${from + at}` },
    }));
    for (const person of people) {
      const made = await instance.record.append(person);
      if (!made.ok) throw new Error(made.refusal.message);
    }
  }
}

/** A request at the registry that is answered so; a PUT sends the bytes of a manifest of the same repository. */
async function expectStatus(status: number, url: string, method: string, path: string, digest?: string): Promise<void> {
  const headers = { authorization: ADMIN_BASIC, "content-type": "application/vnd.oci.image.manifest.v1+json" };
  const place = `${url}/v2/${path.slice(0, path.indexOf("/manifests/"))}/manifests`;
  const body = digest === undefined ? undefined : await (await fetch(`${place}/${digest}`, { headers })).text();
  const answer = await fetch(`${url}/v2/${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
  if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
}

/** A service account's outside token, exchanged under a workload identity. */
async function exchange(
  { instance }: Room,
  must: (method: string, path: string, body?: unknown) => Promise<void>,
): Promise<void> {
  const issuer = "https://ci.example.com";
  await must("POST", "/orgs/acme/service-accounts", { name: "ci" });
  await must("PUT", "/orgs/acme/workload-identities/release", {
    issuer,
    audience: "assay",
    conditions: [{ claim: "sub", value: "release" }],
    serviceAccount: "ci",
  });
  const account = await findPrincipal(instance.reader, "service:acme/ci");
  const identity = await currentWorkload(instance.reader, "acme", "release");
  const exchanged = await instance.record.append({
    type: "access.exchange-token",
    org: "acme",
    actor: {
      id: "service:acme/ci",
      credential: {
        kind: "workload-token",
        epoch: account?.epoch ?? 0,
        workload: { name: "release", since: identity?.from_seq ?? -1 },
      },
    },
    body: {
      identity: "release",
      issuer,
      subject: "release",
      audiences: ["assay"],
      claims: [{ claim: "sub", value: "release" }],
      token: randomBytes(32).toString("hex"),
      identified: true,
    },
  });
  if (!exchanged.ok) throw new Error(exchanged.refusal.message);
}

/** A witness that cosigns the newest checkpoint, as a server with ASSAY_WITNESS_POLICY keeps it; and the policy that names it. */
async function cosign(log: string): Promise<TlogPolicy> {
  const key = generateKeyPair("ed25519");
  const vkey = formatVkey("witness.example.com", NOTE_COSIGNATURE_ED25519, key.publicKey.spki.slice(-32));
  const note = await readFile(join(log, "newest-checkpoint"), "utf8");
  const time = 1_790_000_000;
  const signature = key.sign(cosignedBytes(time, parseNote(note).text));
  await writeFile(join(log, "witnessed-checkpoint"), `${note}${cosignatureLine(parseVkey(vkey), time, signature)}\n`);
  return parseTlogPolicy(utf8Encode(`witness w ${vkey}\nquorum w\n`));
}

/** A checkpoint of another's log that we cosigned, as our witness keeps it. */
async function witness(raw: RawDatabase): Promise<void> {
  const keyring = Keyring.open(join(directory, "keys"), MasterKey.fromDirectory(directory, false));
  const log = generateKeyPair("ed25519");
  const logKey = parseVkey(formatVkey("log.example.com", NOTE_ED25519, log.publicKey.spki.slice(-32)));
  const ours = parseVkey(formatVkey("assay.example.com", NOTE_COSIGNATURE_ED25519, rawEd25519(keyring.key("witness"))));
  const root = new Uint8Array(randomBytes(32));
  const text = formatCheckpoint({ origin: "log.example.com", size: 12_345, root, extensions: [] });
  const time = 1_790_000_000;
  const note = formatNote(text, [
    noteSignatureLine(logKey, log.sign(noteSignedBytes(text))),
    cosignatureLine(ours, time, keyring.sign("witness", cosignedBytes(time, text))),
  ]);
  witnessed = new Map([["log.example.com", [logKey]]]);
  await raw.run("insert into witnessed_log (origin, size, root, note, time) values (?, ?, ?, ?, ?)", [
    "log.example.com",
    12_345,
    root,
    note,
    time,
  ]);
}

beforeAll(async () => {
  const room = await openRoom();
  directory = room.instance.dataDirectory;
  await fill(room);
  await room.instance.published();
  await room.instance.halt();
  const raw = await openRaw(directory);
  const [byAlice] = await raw.all("select sequence from event where actor = 'person:alice' limit 1");
  await witness(raw);
  await raw.close();
  await redactDirectory({
    ...(await placeOf(directory)),
    reason: "a request",
    request: parseRequest([`${Number(byAlice?.["sequence"])}:/actor=person:redacted-1`]),
    tell: () => undefined,
  });
  witnesses = await cosign(join(directory, "logs", "record"));
}, 120_000);

afterAll(async () => {
  await dropPlace(directory);
  await rm(directory, { recursive: true, force: true });
});

async function check(): Promise<CheckReport> {
  return await checkDirectory({
    ...(await placeOf(directory)),
    s3: s3Of(directory),
    witnesses,
    witnessed,
    tell: () => undefined,
  });
}

/** One altered bit. */
interface Flip {
  readonly what: string;
  /** Whether a finding's `where` names it. */
  readonly names: (where: string) => boolean;
  undo(): Promise<void>;
}

function flipped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length === 0) return Buffer.from([random(256)]);
  const at = random(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random(8));
  return copy;
}

async function flipFile(path: string, what: string, names: string): Promise<Flip> {
  const before = await readFile(path);
  await writeFile(path, flipped(before));
  return { what: `file ${what}`, names: (where) => where === names, undo: () => writeFile(path, before) };
}

/** A value of a row with one bit altered; undefined when this database could not hold it. */
function flippedValue(value: unknown): { value: unknown; text: boolean } | undefined {
  if (value === null) return { value: random(2), text: false };
  if (value instanceof Uint8Array) return { value: flipped(value), text: false };
  if (typeof value === "number") {
    return { value: BigInt.asIntN(64, BigInt(value) ^ (1n << BigInt(random(64)))), text: false };
  }
  if (typeof value !== "string") return undefined;
  const bytes = flipped(Buffer.from(value, "utf8"));
  if (ENGINE === "sqlite") return { value: bytes, text: true };
  // PostgreSQL keeps no text that is not UTF-8: there the disk's own checksums find such a bit.
  const text = bytes.toString("utf8");
  return text.includes("\0") || !Buffer.from(text, "utf8").equals(bytes) ? undefined : { value: text, text: false };
}

/** Alters one bit of one value of a row; undefined when the database refuses it (a constraint, a type). */
async function flipRow(
  raw: RawDatabase,
  table: string,
  column: string | undefined,
  names: (row: Record<string, unknown>, column: string) => (where: string) => boolean,
): Promise<Flip | undefined> {
  const [counted] = await raw.all(`select count(*) as n from "${table}"`);
  const [row] = await raw.all(
    `select ${PLACE} as place, "${table}".* from "${table}" order by 1 limit 1 offset ${random(Number(counted?.["n"]))}`,
  );
  if (row === undefined) throw new Error(`${table} is empty`);
  const { place, ...values } = row;
  const chosen = column ?? pick(Object.keys(values));
  const before = values[chosen];
  const after = flippedValue(before);
  if (after === undefined) return undefined;
  const set = async (at: unknown, value: unknown, text: boolean): Promise<unknown> => {
    const marks = text ? "cast(? as text)" : "?";
    const [set] = await raw.all(
      `update "${table}" set "${chosen}" = ${marks} where ${PLACE} = ? returning ${PLACE} as place`,
      [value, at],
    );
    return set?.["place"];
  };
  let moved: unknown;
  try {
    moved = await set(place, after.value, after.text);
  } catch {
    return undefined;
  }
  return {
    what: `${table}.${chosen} of ${JSON.stringify(values, (_key, value: unknown) => (value instanceof Uint8Array ? "…" : value)).slice(0, 300)}: now ${String(after.value).slice(0, 100)}`,
    names: names(values, chosen),
    undo: async () => {
      await set(moved, before, false);
    },
  };
}

async function pathsUnder(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

it(`finds and names ${ROUNDS} altered bits, wherever they are`, { timeout: LONG ? 3_600_000 : 300_000 }, async () => {
  const raw = await openRaw(directory);
  const blobs = openRawBlobs(directory);
  const log = join(directory, "logs", "record");
  const digests = (
    await raw.all(
      "select digest from manifest union select digest from evidence union select vsa from gate_decision union select digest from manifest_reference where held = 1",
    )
  ).map((row) => String(row["digest"]));
  const event = (row: Record<string, unknown>) => (where: string) =>
    new RegExp(`^(event|leaf) ${String(row["sequence"])}$`).test(where);
  // Constraints are the database's own guard against its programs; a bit that turns on the disk asks none of them.
  if (ENGINE === "sqlite") await raw.run("pragma ignore_check_constraints = on");
  else {
    const checks = await raw.all(
      "select conrelid::regclass::text as t, conname as name from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace",
    );
    for (const { t, name } of checks) await raw.run(`alter table ${String(t)} drop constraint "${String(name)}"`);
  }
  const tables: string[] = [];
  for (const table of composeParts().projections) {
    const [row] = await raw.all(`select count(*) as n from "${table}"`);
    expect(Number(row?.["n"]), `${table} has rows`).toBeGreaterThan(0);
    tables.push(table);
  }
  const kinds: Record<string, () => Promise<Flip | undefined>> = {
    async blob() {
      const digest = pick(digests);
      const before = await blobs.read(digest);
      await blobs.write(digest, flipped(before));
      return { what: `blob ${digest}`, names: (where) => where === digest, undo: () => blobs.write(digest, before) };
    },
    bytes: () => flipRow(raw, "event", "bytes", event),
    column: () =>
      flipRow(raw, "event", pick(["sequence", "org", "org_sequence", "type", "version", "actor", "time"]), event),
    salt: () => flipRow(raw, "leaf", "salt", event),
    commitment: () => flipRow(raw, "leaf", "commitment", event),
    place: () => flipRow(raw, "leaf", "sequence", event),
    row: () => {
      const table = pick(tables);
      return flipRow(raw, table, undefined, (row, altered) => {
        const kept = Object.keys(row)
          .filter((column) => column !== altered && typeof row[column] === "number")
          .toSorted();
        return (where) =>
          where.startsWith(`table ${table}, row [[`) &&
          kept.every((column) => where.includes(JSON.stringify([column, row[column]])));
      });
    },
    // The epoch counts terms and is no fact: any count is as good as another.
    state: () =>
      flipRow(
        raw,
        "log_state",
        pick(["name", "origin", "vkey", "size", "root"]),
        () => (where) => where === "log_state record",
      ),
    schema: () =>
      flipRow(raw, "schema_migration", undefined, () => (where) => where.startsWith("table schema_migration")),
    witnessed: () =>
      flipRow(raw, "witnessed_log", undefined, () => (where) => where.startsWith("table witnessed_log, row of ")),
    checkpoint: () => {
      const [name, where] = pick([
        ["checkpoint", "published checkpoint"],
        ["newest-checkpoint", "newest signed checkpoint"],
        ["witnessed-checkpoint", "witnessed checkpoint"],
      ] as const);
      return flipFile(join(log, name), name, where);
    },
    async tile() {
      const path = pick((await pathsUnder(join(log, "tile"))).toSorted());
      const name = path.slice(log.length + 1);
      return await flipFile(path, name, name);
    },
    async key() {
      const name = pick([
        "master.key",
        ...(await readdir(join(directory, "keys"))).toSorted().map((key) => `keys/${key}`),
      ]);
      return await flipFile(join(directory, name), name, name);
    },
  };
  expect((await check()).findings).toEqual([]);
  const counts = new Map<string, number>();
  const missed: string[] = [];
  for (let round = 0; round < ROUNDS; ) {
    const kind = pick(Object.keys(kinds));
    const flip = await kinds[kind]?.();
    if (flip === undefined) continue;
    round += 1;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    try {
      const { findings } = await check();
      if (findings.some(({ where }) => flip.names(where))) continue;
      const found = findings.map(({ kind, where, problem }) => `    ${kind} | ${where} | ${problem}`).join("\n");
      missed.push(`round ${round}, ${kind}: ${flip.what}\n${found === "" ? "    nothing found" : found}`);
    } catch (error) {
      missed.push(
        `round ${round}, ${kind}: ${flip.what}\n    check failed: ${error instanceof Error ? error.stack : String(error)}`,
      );
    } finally {
      await flip.undo();
    }
  }
  expect((await check()).findings, "everything was put back").toEqual([]);
  await raw.close();
  await blobs.close();
  expect(missed, `seed ${SEED}`).toEqual([]);
  expect([...counts.keys()].toSorted(), `seed ${SEED}`).toEqual(Object.keys(kinds).toSorted());
});
