/** Finding evidence by what it says, who signed it, and when it came. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFields } from "../src/attestations/fields.ts";
import type { AttestationTables } from "../src/attestations/schema.ts";
import { searchEvidence } from "../src/attestations/search-queries.ts";
import { attestationEvents } from "../src/attestations/events.ts";
import { MIGRATIONS } from "../src/composition.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openWriter } from "../src/storage/open.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";
import {
  artifact,
  attest,
  type Body,
  makeKey,
  openRoom,
  PROVENANCE,
  replayDifferences,
  type Room,
} from "./evidence-room.ts";

let room: Room;
const key = makeKey();
const other = makeKey();

type Found = Body & { readonly items: readonly { readonly fields: readonly { name: string; value: string }[] }[] };

function built(builder: string, repository: string, run = "1"): Record<string, never> {
  return {
    buildDefinition: {
      buildType: "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
      externalParameters: {
        workflow: {
          ref: "refs/tags/v1",
          repository: `https://github.com/${repository}`,
          path: ".github/workflows/b.yml",
        },
      },
      resolvedDependencies: [
        { uri: `git+https://github.com/${repository}@refs/tags/v1`, digest: { gitCommit: "a".repeat(40) } },
      ],
    },
    runDetails: { builder: { id: builder }, metadata: { invocationId: run } },
  } as unknown as Record<string, never>;
}

const X = "https://ci.example.com/builder-x";
const Y = "https://ci.example.com/builder-y";

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  await room.trust("acme", other, { name: "other" });
  let number = 0;
  const give = async (builder: string, repository: string, signer = key): Promise<void> => {
    number += 1;
    await room.post(
      "acme",
      await attest(signer, artifact(`built ${number}`), PROVENANCE, built(builder, repository)),
      "app",
    );
  };
  for (let n = 0; n < 3; n++) await give(X, "acme/one");
  for (let n = 0; n < 2; n++) await give(X, "acme/two", other);
  for (let n = 0; n < 4; n++) await give(Y, "acme/one");
});
afterAll(() => room.stop());

async function search(query: string, org = "acme", token?: string): Promise<Found> {
  const { status, body } = await room.call("GET", `/orgs/${org}/evidence${query}`, undefined, token);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body as Found;
}

const field = (name: string, value: string): string => `field=${encodeURIComponent(`${name}=${value}`)}`;

/** The name under which the repository is indexed, and how it is written there. */
async function repositoryField(): Promise<{ name: string; of: (repository: string) => string }> {
  const [item] = (await search("?limit=1")).items;
  const found = item?.fields.find(({ name }) => name === "source.repository");
  if (found === undefined) throw new Error(JSON.stringify(item?.fields));
  return { name: found.name, of: (repository) => found.value.replace("acme/one", repository) };
}

describe("a search", () => {
  it("finds all provenance from one builder on one repository, and no other", async () => {
    const { name, of } = await repositoryField();
    const query = (builder: string, repository: string): string =>
      `?${field("builder.id", builder)}&${field(name, of(repository))}`;
    expect((await search(query(X, "acme/one"))).items).toHaveLength(3);
    expect((await search(query(X, "acme/two"))).items).toHaveLength(2);
    expect((await search(query(Y, "acme/one"))).items).toHaveLength(4);
    expect((await search(query(Y, "acme/two"))).items).toEqual([]);
    expect((await search(`?${field("builder.id", X)}`)).items).toHaveLength(5);
    expect((await search(`?${field("builder.id", X)}`)).items[0]).toMatchObject({
      form: "dsse",
      predicateType: PROVENANCE,
      subjects: [artifact("built 1")],
      signers: [key.publicKey.keyId],
    });
  });

  it("narrows by type, signer and subject too", async () => {
    expect((await search(`?signer=${other.publicKey.keyId}`)).items).toHaveLength(2);
    expect((await search(`?signer=${key.publicKey.keyId}&${field("builder.id", X)}`)).items).toHaveLength(3);
    expect((await search(`?signer=${"0".repeat(64)}`)).items).toEqual([]);
    expect((await search(`?predicateType=${PROVENANCE}`)).items).toHaveLength(9);
    expect((await search("?predicateType=https://example.com/none")).items).toEqual([]);
    expect((await search(`?subject=${artifact("built 4")}`)).items).toHaveLength(1);
    expect((await search(`?subject=${artifact("built 4")}&${field("builder.id", Y)}`)).items).toEqual([]);
    const all = `?predicateType=${PROVENANCE}&signer=${other.publicKey.keyId}&subject=${artifact("built 4")}&${field("builder.id", X)}`;
    expect((await search(all)).items).toHaveLength(1);
  });

  it("narrows by the time of receipt, from and to", async () => {
    const items = (await search("?limit=200")).items as unknown as { receivedAt: number; evidence: string }[];
    const middle = items[4];
    if (middle === undefined) throw new Error("too few");
    const { receivedAt } = middle;
    const since = (await search(`?after=${receivedAt}`)).items as unknown as { receivedAt: number }[];
    const until = (await search(`?before=${new Date(receivedAt).toISOString()}`)).items as unknown as typeof since;
    expect(since.every((item) => item.receivedAt >= receivedAt)).toBe(true);
    expect(until.every((item) => item.receivedAt < receivedAt)).toBe(true);
    expect(since.length + until.length).toBe(items.length);
    expect((await search(`?after=${Date.now() + 60_000}`)).items).toEqual([]);
    expect((await search(`?subject=${artifact("built 1")}&before=1`)).items).toEqual([]);
  });

  it("goes page by page as of one sequence", async () => {
    const first = await search(`?${field("builder.id", X)}&limit=2`);
    await room.post("acme", await attest(key, artifact("built later"), PROVENANCE, built(X, "acme/one", "late")));
    const second = await search(`?${field("builder.id", X)}&limit=2&cursor=${first.next}`);
    const third = await search(`?${field("builder.id", X)}&limit=2&cursor=${second.next}`);
    expect([first.items.length, second.items.length, third.items.length]).toEqual([2, 2, 1]);
    expect(third.next).toBeNull();
    const subjectPage = await search(`?subject=${artifact("built later")}&limit=1`);
    expect([subjectPage.items.length, subjectPage.next]).toEqual([1, null]);
  });

  it.each([
    ["a field without value", "?field=builder.id"],
    ["a field without name", "?field==x"],
    ["a NUL", `?${field("a", "b\u0000")}`],
    ["too many fields", `?${Array.from({ length: 9 }, (_, n) => field(`f${n}`, "v")).join("&")}`],
    ["a signer that is none", "?signer=abc"],
    ["a subject that is none", "?subject=latest"],
    ["a time that is none", "?after=yesterday"],
    ["a cursor of its own making", "?cursor=abc"],
  ])("with %s is refused", async (_what, query) => {
    expect(await room.refusal("GET", `/orgs/acme/evidence${query}`)).toMatch(/^400 (request|cursor)-invalid$/);
  });

  it("finds nothing of another tenant's", async () => {
    const rita = await room.person("rita", "rival", "admin");
    for (const org of ["acme", "nowhere"]) {
      expect(await room.refusal("GET", `/orgs/${org}/evidence`, undefined, rita.token)).toBe("404 org-unknown");
    }
    expect((await search(`?${field("builder.id", X)}`, "rival", rita.token)).items).toEqual([]);
  });
});

describe("a search of many pieces", () => {
  it("answers within its bound, and goes on until all are found", async () => {
    const directory = await temporaryDirectory();
    const database = openWriter(await placeOf(directory.path));
    try {
      await migrate(database, MIGRATIONS);
      // Two long lists that have one piece in common, the last: the worst case of an intersection.
      const last = 40_000;
      await database.transaction(async (batch) => {
        const tables = batch.tables<AttestationTables>();
        const rows = Array.from({ length: last }, (_, sequence) => pieceRow(sequence + 1));
        for (let at = 0; at < rows.length; at += 500) {
          const some = rows.slice(at, at + 500);
          await tables.insertInto("evidence").values(some).execute();
          const fields = some.flatMap(({ org, digest, sequence }) =>
            (sequence === last ? ["a", "b"] : [sequence % 2 === 0 ? "a" : "b"]).map((name) => ({
              org,
              name,
              value: "v",
              digest,
              sequence,
            })),
          );
          await tables.insertInto("evidence_field").values(fields).execute();
        }
      });
      const fields = ["a", "b"].map((name) => ({ name, value: "v" }));
      const found: number[] = [];
      let pages = 0;
      let after: number | undefined;
      do {
        const page = await searchEvidence(database.reader(), "acme", { fields }, { asOf: 1_000_000, after, limit: 10 });
        found.push(...page.rows.map(({ sequence }) => sequence));
        pages += 1;
        after = page.scannedTo;
      } while (after !== undefined);
      expect(found).toEqual([last]);
      expect(pages).toBeGreaterThan(1);
    } finally {
      await database.close();
      await directory.dispose();
    }
  });

  function pieceRow(sequence: number): AttestationTables["evidence"] {
    return {
      org: "acme",
      digest: `sha256:${sequence.toString(16).padStart(64, "0")}`,
      form: "dsse",
      size: 1,
      predicate_type: PROVENANCE,
      payload_digest: null,
      signature: null,
      hint: null,
      unreadable: null,
      wrapping: null,
      actor: "admin",
      sequence,
      time: sequence,
      first_sequence: sequence,
      first_time: sequence,
    };
  }
});

describe("what a piece is found by", () => {
  it("is what its type's specification places there, within bounds", () => {
    const fields = readFields(PROVENANCE, built(X, "acme/one"));
    expect(fields).toContainEqual({ name: "builder.id", value: X });
    expect(readFields("https://example.com/unknown", { builder: { id: X } })).toEqual([]);
    const hostile = { ...built(X, "acme/one"), runDetails: { builder: { id: `${"é".repeat(1_024)}` } } };
    expect(readFields(PROVENANCE, hostile as never).map(({ name }) => name)).not.toContain("builder.id");
    expect(readFields(PROVENANCE, { runDetails: { builder: { id: "a\u0000b" } } })).toEqual([]);
  });

  it("may be redacted, and two fields that become the same are one", async () => {
    const added = attestationEvents.find(({ type }) => type === "attestations.evidence-added");
    expect(added?.redactable).toHaveProperty("/fields/*/value");
    const { reader } = room.instance;
    const [row] = (
      await searchEvidence(reader, "acme", { fields: [] }, { asOf: 1_000_000, after: undefined, limit: 1 })
    ).rows;
    if (row === undefined) throw new Error("nothing found");
    const inserted: unknown[] = [];
    const body = {
      evidence: row.digest,
      form: "dsse",
      size: 1,
      predicateType: PROVENANCE,
      subjects: [],
      payloadDigest: null,
      signature: null,
      hint: null,
      signers: [],
      unreadable: null,
      step: null,
      wrapping: null,
      repository: null,
      source: { kind: "api" },
      earlier: null,
      fields: [1, 2].map(() => ({ name: "builder.id", value: "[redacted]" })),
    };
    const event = { sequence: 1, org: "acme", orgSequence: 1, type: "x", actor: "admin", time: 1, body };
    const insertInto = (table: string) => ({
      values: (values: unknown) => ({
        execute: async () => {
          if (table === "evidence_field") inserted.push(values);
        },
      }),
    });
    await added?.project({ tables: () => ({ insertInto }) } as never, event as never);
    expect(inserted).toMatchObject([[{ name: "builder.id", value: "[redacted]" }]]);
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
