/** Evidence in bulk: JSON Lines in, with a result for each line, and out. */
import { digestOf, utf8Encode } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { streamedLines } from "../src/attestations/lines.ts";
import { newestSequence } from "../src/record/newest.ts";
import {
  artifact,
  attest,
  makeKey,
  opened,
  openRoom,
  provenance,
  replayDifferences,
  type Room,
} from "./evidence-room.ts";

let room: Room;
const key = makeKey();
const builder = makeKey();

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  await room.trust("acme", builder, { name: "builder", primary: true });
});
afterAll(() => room.stop());

interface Result {
  readonly line?: number;
  readonly status?: string;
  readonly code?: string;
  readonly evidence?: string;
  readonly summary?: Record<string, number>;
  readonly error?: { readonly code: string };
}

async function bulk(
  file: Uint8Array | ReadableStream<Uint8Array>,
  options: { org?: string; token?: string; query?: string; type?: string } = {},
): Promise<{ status: number; results: Result[] }> {
  const {
    org = "acme",
    token = room.instance.adminToken,
    query = "",
    type = "application/vnd.in-toto.bundle",
  } = options;
  const init = {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": type },
    body: file instanceof Uint8Array ? Buffer.from(file) : file,
    duplex: "half" as const,
  };
  const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/${org}/attestations/bulk${query}`, init);
  const text = await answer.text();
  const lines = text.split("\n").filter((line) => line !== "");
  return { status: answer.status, results: lines.map((line) => JSON.parse(line) as Result) };
}

function fileOf(...lines: (Uint8Array | string)[]): Uint8Array {
  return Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from("\n")]));
}

const counts = (results: readonly Result[]): Result["summary"] => results.at(-1)?.summary;

async function exported(query = "", org = "acme", token = room.instance.adminToken) {
  const answer = await fetch(`${room.instance.url}/api/assay/v1/orgs/${org}/attestations.jsonl${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const text = await answer.text();
  return { status: answer.status, type: answer.headers.get("content-type"), text };
}

describe("a file of many pieces", () => {
  it("is taken in line by line: what is evidence, once; what is none, said with its number", async () => {
    const subject = artifact("bulk");
    const bundle = await attest(key, subject, "https://example.com/a");
    const other = await attest(key, subject, "https://example.com/b");
    const bare = JSON.stringify(opened(other)["dsseEnvelope"]);
    const { status, results } = await bulk(
      fileOf(
        bundle,
        "",
        '{"unknown": true}',
        "garbage",
        `  ${Buffer.from(other).toString()}\r`,
        bundle,
        bare,
        "[1,2]",
        '{"a":1,"a":2}',
      ),
      { query: "?repository=app" },
    );
    expect(status).toBe(200);
    expect(results.slice(0, -1).map(({ line, status: came }) => [line, came])).toEqual([
      [1, "added"],
      [3, "ignored"],
      [4, "ignored"],
      [5, "added"],
      [6, "repeated"],
      [7, "added"],
      [8, "ignored"],
      [9, "ignored"],
    ]);
    expect(results[7]?.code).toBe("json-duplicate-key");
    expect(counts(results)).toEqual({ lines: 8, added: 3, present: 0, repeated: 1, ignored: 4, refused: 0 });
    const list = await room.call("GET", `/orgs/acme/attestations/${subject}`);
    expect(list.body.items.map(({ status: worth }) => worth.status)).toEqual(["verified", "verified", "verified"]);

    const before = await newestSequence(room.instance.reader);
    const again = await bulk(fileOf(other, bundle), { query: "?repository=app" });
    expect(counts(again.results)).toMatchObject({ present: 2, added: 0 });
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });

  it("says of each refused line why, and takes the others", async () => {
    const subject = artifact("bulk refused");
    const first = await provenance(builder, subject, "1");
    const second = await provenance(builder, subject, "2");
    const after = await attest(key, subject);
    const { results } = await bulk(fileOf(first), { query: "?repository=app" });
    expect(counts(results)).toMatchObject({ added: 1 });
    const more = await bulk(fileOf(second, after), { query: "?repository=app" });
    expect(more.results).toMatchObject([
      { line: 1, status: "refused", code: "primary-provenance-exists" },
      { line: 2, status: "added" },
      { summary: { lines: 2, refused: 1 } },
    ]);
  });

  it("is read as it comes, and a line too long is passed over in bounded memory", async () => {
    const subject = artifact("bulk streamed");
    const bundle = await attest(key, subject);
    const piece = new Uint8Array(1 << 20).fill(0x20);
    let sent = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        if (sent <= 20) controller.enqueue(piece);
        else if (sent === 21) controller.enqueue(fileOf("{", bundle));
        else controller.close();
      },
    });
    const { results } = await bulk(stream);
    expect(results).toMatchObject([
      { line: 1, status: "ignored", code: "too-large" },
      { line: 2, status: "added" },
      { summary: { lines: 2 } },
    ]);
  });

  it("of no line has an empty result, and a body of another kind none", async () => {
    expect((await bulk(fileOf("", " "))).results).toEqual([
      { summary: { lines: 0, added: 0, present: 0, repeated: 0, ignored: 0, refused: 0 } },
    ]);
    expect((await bulk(fileOf("{}"), { type: "application/json" })).status).toBe(415);
    expect((await bulk(fileOf("x"), { type: "application/zip" })).status).toBe(415);
  });

  it("is nobody's who may not write, whatever is in it", async () => {
    const rita = await room.person("rita", "rival", "admin");
    const reader = await room.person("rob", "acme", "reader");
    const bundle = await attest(key, artifact("bulk foreign"));
    const before = await newestSequence(room.instance.reader);
    for (const org of ["acme", "nowhere"]) {
      const { status, results } = await bulk(fileOf(bundle), { org, token: rita.token });
      expect([status, results[0]?.error?.code]).toEqual([404, "org-unknown"]);
    }
    expect((await bulk(fileOf(bundle), { token: reader.token })).status).toBe(403);
    expect((await bulk(fileOf(bundle), { query: "?repository=rival/app" })).status).toBe(400);
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });
});

describe("evidence in bulk out", () => {
  it("is what came in, a line each, and can be taken in elsewhere", async () => {
    const subject = artifact("exported");
    const compact = await attest(key, subject, "https://example.com/exported");
    const spread = utf8Encode(
      JSON.stringify(opened(await attest(key, subject, "https://example.com/exported/2")), null, 2),
    );
    await room.post("acme", compact);
    await room.post("acme", spread);
    await room.call("POST", "/orgs/acme/reports", { subject, predicateType: "https://example.com/r", predicate: {} });
    const { status, type, text } = await exported(`?subject=${subject}`);
    expect([status, type]).toEqual([200, "application/vnd.in-toto.bundle"]);
    const lines = text.trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toBe(Buffer.from(compact).toString());
    expect(JSON.parse(lines[1] ?? "")).toEqual(JSON.parse(Buffer.from(spread).toString()));
    expect(JSON.parse(lines[2] ?? "")).toMatchObject({ pieces: 2, leftOut: 1 });
    const taken = await bulk(utf8Encode(text), { org: "rival" });
    expect(counts(taken.results)).toMatchObject({ added: 2, ignored: 1 });
    const there = await room.call("GET", `/orgs/rival/evidence/${digestOf(nodeCrypto, compact)}`);
    expect(there.status).toBe(200);
  });

  it("is for those who may read it", async () => {
    const outsider = await room.person("olga", "rival", "reader");
    for (const org of ["acme", "nowhere"]) {
      const { status, text } = await exported("", org, outsider.token);
      expect([status, (JSON.parse(text) as Result).error?.code]).toEqual([404, "org-unknown"]);
    }
  });
});

describe("the lines of a stream", () => {
  async function read(chunks: readonly string[], limit = 10): Promise<[number, string | undefined][]> {
    const found: [number, string | undefined][] = [];
    const source = (async function* () {
      for (const chunk of chunks) yield utf8Encode(chunk);
    })();
    for await (const { line, bytes } of streamedLines(source, limit)) {
      found.push([line, bytes === undefined ? undefined : Buffer.from(bytes).toString()]);
    }
    return found;
  }

  it("are the same however it is cut", async () => {
    const text = "one\n\ntwo\r\n \t\nthree";
    const whole = await read([text]);
    expect(whole).toEqual([
      [1, "one"],
      [3, "two"],
      [5, "three"],
    ]);
    for (let at = 0; at <= text.length; at++) expect(await read([text.slice(0, at), text.slice(at)])).toEqual(whole);
    expect(await read(text.split(""))).toEqual(whole);
  });

  it("have nothing but a number when they are too long", async () => {
    expect(await read(["a".repeat(11), "\nb\n", "c".repeat(10)])).toEqual([
      [1, undefined],
      [2, "b"],
      [3, "c".repeat(10)],
    ]);
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});

it("a line that the database cannot hold is refused or taken in by itself, and those behind it are taken in", async () => {
  const poison = opened(await attest(key, artifact("poison")));
  const file = fileOf(
    JSON.stringify({ ...poison, verificationMaterial: { publicKey: { hint: "\u0000" } } }),
    await attest(key, artifact("behind the poison")),
  );
  const { results } = await bulk(file);
  expect(results.map((result) => result.error)).toEqual([undefined, undefined, undefined]);
  expect(["added", "refused"]).toContain(results[0]?.status);
  expect(results[1]?.status).toBe("added");
});
