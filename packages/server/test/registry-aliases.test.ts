/** SHA-512 as a second name of bytes, and manifests that name what is not here (yet): what is known where, since when, and by whom. */
import { isDigest, parseDigest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findAliases } from "../src/registry/alias-queries.ts";
import { registryAliases } from "../src/registry/named-blobs.ts";
import type { RegistryTables } from "../src/registry/schema.ts";
import { type Aliased, checkBlobs } from "../src/storage/check-blobs.ts";
import { openWriter } from "../src/storage/open.ts";
import { placeOf } from "./database.ts";
import { Client, descriptor, digest, image, index } from "./registry-conformance.ts";
import {
  ociCode,
  OCI_INDEX,
  OCI_MANIFEST,
  openRegistryRoom,
  type RegistryRoom,
  rows,
  sha256,
} from "./registry-room.ts";

let room: RegistryRoom;
/** One that takes manifests with parts missing. */
let sparse: RegistryRoom;

beforeAll(async () => {
  room = await openRegistryRoom(["acme", "rival"]);
  sparse = await openRegistryRoom(["acme", "rival"], { sparseManifests: true });
});

afterAll(async () => {
  await room.stop();
  await sparse.stop();
});

const sha512 = (bytes: string): string => digest("sha512", bytes);

let repositories = 0;

function fresh(of: RegistryRoom = room, org = "acme"): Client {
  repositories += 1;
  return new Client(of, `${org}/aliases-${repositories}`);
}

/** Runs out every lease of a room. */
async function endLeases(of: RegistryRoom): Promise<void> {
  const database = openWriter(await placeOf(of.directory));
  await database.transaction(async (batch) => {
    await batch.tables<RegistryTables>().updateTable("blob_lease").set({ expires: 1 }).execute();
  });
  await database.close();
}

async function aliasesOf(client: Client): Promise<Map<string, string>> {
  const all = (await rows(client.room, "digest_alias")) as RegistryTables["digest_alias"][];
  const own = all.filter(({ repository }) => repository === client.repository);
  return new Map(own.map((row) => [row.alias, row.digest]));
}

describe("a SHA-512 digest", () => {
  test("of bytes that nobody named by it is unknown, though the bytes are here", async () => {
    const client = fresh();
    await client.blobs("sha256", "here");
    expect((await client.call("HEAD", `blobs/${sha512("here")}`)).status).toBe(404);
    await client.blobs("sha256", "{}");
    const answer = await client.put("latest", image("sha512", "{}", ["here"]));
    expect(ociCode(answer)).toBe("MANIFEST_BLOB_UNKNOWN");
  });

  test("known in one repository is not known in another, nor in another organisation", async () => {
    const client = fresh();
    await client.image("sha512", "known");
    for (const other of [fresh(), fresh(room, "rival")]) {
      await other.blobs("sha256", "layer of known");
      expect((await other.call("HEAD", `blobs/${sha512("layer of known")}`)).status).toBe(404);
    }
  });

  test("names the same blob as the SHA-256, which is the only one it is stored, leased and referred to by", async () => {
    const client = fresh();
    const manifest = await client.image("sha512", "twice named");
    for (const bytes of ["layer of twice named", "config of twice named"]) {
      expect((await client.call("GET", `blobs/${sha256(bytes)}`)).text).toBe(bytes);
      expect((await client.call("GET", `blobs/${sha512(bytes)}`)).text).toBe(bytes);
    }
    expect((await client.call("GET", `manifests/${sha256(manifest)}`)).text).toBe(manifest);
    for (const table of ["blob_lease", "manifest", "manifest_reference", "tag"] as const) {
      for (const row of (await rows(room, table)) as { digest: string }[]) expect(isDigest(row.digest)).toBe(true);
    }
  });

  test("goes with the lease until a manifest names it, and is on record from then on", async () => {
    const client = fresh();
    await client.blobs("sha512", "leased", "dropped");
    expect(await aliasesOf(client)).toEqual(new Map());
    const manifest = image("sha512", "leased", []);
    expect((await client.put(`${sha512(manifest)}?tag=latest`, manifest)).status).toBe(201);
    expect(await aliasesOf(client)).toEqual(
      new Map([
        [sha512("leased"), sha256("leased")],
        [sha512(manifest), sha256(manifest)],
      ]),
    );
    await endLeases(room);
    expect((await client.call("GET", `blobs/${sha512("leased")}`)).text).toBe("leased");
    expect((await client.call("GET", `blobs/${sha512("dropped")}`)).status).toBe(404);
    expect((await client.call("GET", `manifests/${sha512(manifest)}`)).text).toBe(manifest);
  });

  test("that a session said it might use, and did not, is no name of the bytes", async () => {
    const client = fresh();
    const location = await client.open("?digest-algorithm=sha512");
    expect((await client.close(location, sha256("said so"), "said so")).status).toBe(201);
    expect((await client.call("HEAD", `blobs/${sha512("said so")}`)).status).toBe(404);
  });

  test("of a manifest that was here by its SHA-256 is recorded when it is pushed by it, once", async () => {
    const client = fresh();
    const manifest = await client.image("sha256", "late name");
    const before = (await room.events()).length;
    expect((await client.call("HEAD", `manifests/${sha512(manifest)}`)).status).toBe(404);
    expect((await client.put(sha512(manifest), manifest)).status).toBe(201);
    expect((await client.put(sha512(manifest), manifest)).status).toBe(201);
    expect((await room.events()).slice(before)).toEqual(["registry.digests-aliased"]);
    expect((await client.call("HEAD", `manifests/${sha512(manifest)}`)).status).toBe(200);
  });

  test("and the SHA-256 of one layer in one manifest are one reference", async () => {
    const client = fresh();
    await client.blobs("sha256", "{}");
    await client.blobs("sha512", "{}", "layer");
    const layers = [descriptor("sha256", "layer", "a/b"), descriptor("sha512", "layer", "a/b")];
    expect((await client.put("latest", image("sha256", "{}", [], { layers }))).status).toBe(201);
    const named = (await rows(room, "manifest_reference")) as RegistryTables["manifest_reference"][];
    const own = named.filter((row) => row.repository === client.repository && row.kind === "layer");
    expect(own.map((row) => row.digest)).toEqual([sha256("layer")]);
  });

  test("is told to those who read the push as evidence by its one name; of an unknown subject no tag speaks", async () => {
    const client = fresh();
    const about = await client.image("sha512", "what it is about");
    await client.blobs("sha512", "{}", "evidence");
    const subject = descriptor("sha512", about, OCI_MANIFEST);
    await client.put("one", image("sha512", "{}", ["evidence"], { subject }));
    const told = room.pushed.at(-1);
    expect(told?.subject).toBe(sha256(about));
    expect(told?.layers.map((layer) => layer.digest)).toEqual([sha256("evidence")]);
    const unknown = { ...subject, digest: sha512("nothing") };
    const tag = `sha256-${"a".repeat(64)}.sig`;
    expect((await client.put(tag, image("sha512", "{}", ["evidence"], { subject: unknown }))).status).toBe(201);
    expect([room.pushed.at(-1)?.subject, room.pushed.at(-1)?.tags]).toEqual([undefined, []]);
  });

  test("is held against the bytes by a check", async () => {
    const client = fresh();
    const manifest = await client.image("sha512", "checked");
    const name = parseDigest(sha256(manifest));
    const known: Aliased[] = [];
    for await (const { digest: of, alias, namedBy } of registryAliases(room.reader)) {
      if (of === name) known.push({ digest: name, alias, namedBy });
    }
    expect(known.map(({ alias }) => alias)).toEqual([sha512(manifest)]);
    const findings = async (aliased: readonly Aliased[]): Promise<string[]> => {
      const each = async function* <T>(items: readonly T[]): AsyncGenerator<T> {
        yield* items;
      };
      const found: string[] = [];
      const checked = checkBlobs(room.blobs, each([name]), each([]), each(aliased), () => undefined);
      for await (const { where, problem } of checked) found.push(`${where}: ${problem}`);
      return found;
    };
    expect(await findings(known)).toEqual([]);
    const wrong = known.map((one) => ({ ...one, alias: sha512("another") }));
    expect(await findings(wrong)).toEqual([expect.stringContaining(sha512("another"))]);
  });

  test("on record, and one known by a lease, are told apart", async () => {
    const client = fresh();
    const manifest = await client.image("sha512", "recorded");
    await client.blobs("sha512", "only leased");
    const names = [sha512(manifest), sha512("only leased"), sha512("unknown")];
    expect(await findAliases(room.reader, client.repository, names, Date.now())).toEqual(
      new Map([
        [sha512(manifest), { digest: sha256(manifest), recorded: true }],
        [sha512("only leased"), { digest: sha256("only leased"), recorded: false }],
      ]),
    );
  });
});

describe("where manifests may lack what they name", () => {
  test.each(["sha256", "sha512"] as const)(
    "a blob that comes later is held by them, by %s, without a lease",
    async (by) => {
      for (const way of ["post", "put", "mount"]) {
        const client = fresh(sparse);
        const bytes = `late by ${by} and ${way}`;
        await client.blobs(by, "{}");
        expect((await client.put("latest", image(by, "{}", [bytes]))).status).toBe(201);
        expect((await client.call("HEAD", `blobs/${digest(by, bytes)}`)).status).toBe(404);
        if (way === "post") await client.blobs(by, bytes);
        else if (way === "put") await client.close(await client.open(), digest(by, bytes), bytes);
        else {
          const source = fresh(sparse);
          await source.blobs(by, bytes);
          await client.call("POST", `blobs/uploads/?mount=${digest(by, bytes)}&from=${source.repository}`);
        }
        await endLeases(sparse);
        expect((await client.call("GET", `blobs/${digest(by, bytes)}`)).text, way).toBe(bytes);
        expect((await client.call("DELETE", `blobs/${digest(by, bytes)}`)).status).toBe(405);
      }
    },
  );

  test("one that came when the process ended is held as soon as somebody who may push hears that it is here", async () => {
    const client = fresh(sparse);
    await client.blobs("sha256", "{}", "came");
    const held = await client.put("latest", image("sha256", "{}", ["came later"]));
    expect(held.status).toBe(201);
    // As an upload leaves it before what comes after.
    const database = openWriter(await placeOf(sparse.directory));
    await database.transaction(async (batch) => {
      await batch
        .tables<RegistryTables>()
        .updateTable("manifest_reference")
        .set({ digest: sha256("came"), size: 4 })
        .where("repository", "=", client.repository)
        .where("digest", "=", sha256("came later"))
        .execute();
    });
    await database.close();
    expect((await client.call("HEAD", `blobs/${sha256("came")}`)).status).toBe(200);
    await endLeases(sparse);
    expect((await client.call("HEAD", `blobs/${sha256("came")}`)).status).toBe(200);
  });

  test("whoever pushes one is warned of what is missing (Warnings), and of nothing that lies elsewhere by design", async () => {
    const client = fresh(sparse);
    await client.blobs("sha256", "{}", "here");
    const elsewhere = { ...descriptor("sha256", "foreign", "a/b"), urls: ["https://example.com/foreign"] };
    const whole = await client.put("whole", image("sha256", "{}", [], { layers: [elsewhere] }));
    expect([whole.status, whole.headers["warning"]]).toEqual([201, undefined]);
    const names = Array.from({ length: 100 }, (_, at) => `missing ${at}`);
    const part = await client.put("part", image("sha256", "{}", ["here", ...names]));
    expect(part.status).toBe(201);
    expect(part.headers["warning"]).toMatch(/^299 - "[ -!#-~]+"$/);
    expect(part.headers["warning"]).toContain(`${sha256("missing 0")} and 99 more`);
  });

  test("a manifest that comes later is one of the index", async () => {
    const client = fresh(sparse);
    const manifest = image("sha256", "config of late child", ["layer of late child"]);
    expect((await client.put("all", index("sha256", [manifest]), OCI_INDEX)).status).toBe(201);
    expect((await client.call("GET", `manifests/${sha256(manifest)}`)).status).toBe(404);
    await client.image("sha256", "late child");
    const named = (await rows(sparse, "manifest_reference")) as RegistryTables["manifest_reference"][];
    const entry = named.filter((row) => row.repository === client.repository && row.digest === sha256(manifest));
    expect(entry.map((row) => [row.kind, row.held, row.to_seq !== null])).toEqual([
      ["child", 0, true],
      ["child", 1, false],
    ]);
  });

  test("naming bytes of another repository, or with another size, makes them nobody's", async () => {
    const secret = fresh(sparse, "rival");
    await secret.blobs("sha256", "a secret");
    const client = fresh(sparse);
    await client.blobs("sha256", "{}");
    expect((await client.put("latest", image("sha256", "{}", ["a secret"]))).status).toBe(201);
    expect(sparse.pushed.at(-1)?.layers).toEqual([]);
    expect((await client.call("GET", `blobs/${sha256("a secret")}`)).status).toBe(404);
    const layers = [{ ...descriptor("sha256", "own bytes", "a/b"), size: 5 }];
    expect((await client.put("other", image("sha256", "{}", [], { layers }))).status).toBe(201);
    await client.blobs("sha256", "own bytes");
    await endLeases(sparse);
    expect((await client.call("GET", `blobs/${sha256("own bytes")}`)).status).toBe(404);
  });
});
