import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { openNote, openWitnessed, parseCheckpoint, parseTlogPolicy, parseVkey, utf8Encode } from "@assay/evidence";
import { nodeCrypto as crypto } from "@assay/evidence/node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { askWitness } from "../src/witness/ask.ts";
import { readWitnessPolicy } from "../src/witness/policy-file.ts";
import { copyDatabase } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { Files, MemoryLog, Place, saying, ScriptedWitness, until } from "./witness-places.ts";

let files: Files;
let instances: Instance[];
let places: Place[];

beforeEach(() => {
  files = new Files();
  instances = [];
  places = [];
});

afterEach(async () => {
  for (const instance of instances) await instance.stop().catch(() => undefined);
  for (const place of places) await place.close();
  files.remove();
});

async function witness(name: string): Promise<ScriptedWitness> {
  const opened = await new ScriptedWitness(name).open();
  places.push(opened);
  return opened;
}

async function start(options: Parameters<typeof startInstance>[0]): Promise<Instance> {
  const instance = await startInstance(options);
  instances.push(instance);
  return instance;
}

const text = async (url: string): Promise<string> => await (await fetch(url)).text();
const vkeyOf = async (server: Instance): Promise<string> => (await text(`${server.url}/logs/record/vkey`)).trim();
const sizeOf = (note: string): number => Number(note.split("\n")[1]);

/** Records something, so that there is a newer checkpoint. */
async function record(server: Instance, name: string): Promise<{ status: number; body: unknown }> {
  const answer = await server.api("POST", "/api/assay/v1/orgs", { name });
  await server.published().catch(() => undefined);
  return answer;
}

interface Status {
  quorum: string | null;
  published: number;
  witnessed: number | null;
  lateSince: string | null;
  contradicted: string[];
  witnesses: { name: string; outcome: string; message: string; size: number | null; cosignedAt: string | null }[];
}

async function status(server: Instance): Promise<Status> {
  return (await server.api("GET", "/api/assay/v1/witnesses")).body as Status;
}

/** Resolves when everything published is witnessed. */
async function witnessed(server: Instance): Promise<void> {
  await until(async () => {
    const { published, witnessed: by } = await status(server);
    return by === published && sizeOf(await text(`${server.url}/logs/record/checkpoint`)) === published;
  });
}

const metric = async (server: Instance, name: string): Promise<string | undefined> => {
  const headers = { authorization: `Bearer ${server.adminToken}` };
  const metrics = await (await fetch(`${server.url}/metrics`, { headers })).text();
  return new RegExp(`^${name} (.*)$`, "m").exec(metrics)?.[1];
};

describe("a log with witnesses", () => {
  it("shows the newest checkpoint that a quorum cosigned, with every cosignature it got", async () => {
    const [a, b, c] = [await witness("a"), await witness("b"), await witness("c")];
    // The character that PostgreSQL cannot hold: what one witness says must not keep back what the others gave.
    c.answer = () => ({ status: 500, body: "out\0 of order" });
    const policy = `${a.line()}${b.line()}${c.line()}group two 2 a b c\nquorum two\n`;
    const server = await start({ witnessPolicy: files.write("policy", policy) });
    await record(server, "one");
    await witnessed(server);
    const note = await text(`${server.url}/logs/record/checkpoint`);
    const log = parseVkey(await vkeyOf(server));
    const opened = await openWitnessed(crypto, note, parseTlogPolicy(utf8Encode(policy)), [log]);
    expect(opened.cosignatures.map(({ key }) => key.name)).toEqual(["a", "b"]);
    // The tiles under it are there.
    const entry = await fetch(`${server.url}/logs/record/tile/entries/000.p/${opened.checkpoint.size}`);
    expect(entry.status).toBe(200);

    const said = await status(server);
    expect(said).toMatchObject({ quorum: "two", lateSince: null, contradicted: [] });
    expect(said.witnesses.map(({ name, outcome }) => [name, outcome])).toEqual([
      ["a", "cosigned"],
      ["b", "cosigned"],
      ["c", "refused"],
    ]);
    expect(said.witnesses[2]?.message).toContain("500 out  of order");
    await until(async () => (await metric(server, "assay_log_witnessed_entries")) === String(opened.checkpoint.size));
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    expect(JSON.parse(await text(`${server.url}/readyz`))).toMatchObject({
      status: "ready",
      checks: { witnesses: "ok" },
    });
  });

  it("goes on from what each witness has cosigned, after its own restart too", async () => {
    const a = await witness("a");
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await witnessed(server);
    const first = sizeOf(a.request().note);
    await record(server, "two");
    await witnessed(server);
    expect(a.request()).toMatchObject({ old: first });
    expect(a.request().proof.length).toBeGreaterThan(0);

    const last = sizeOf(a.request().note);
    await server.restart();
    a.answer = (body, path) => {
      if (path !== "/add-checkpoint") return { status: 404, body: "" };
      return body.startsWith(`old ${last}\n`)
        ? a.cosign(body)
        : { status: 409, body: `${last}\n`, headers: { "content-type": "text/x.tlog.size" } };
    };
    await record(server, "three");
    await witnessed(server);
    expect(a.request()).toMatchObject({ old: last });
  });

  it("is not asked again and again when there is nothing new", async () => {
    const a = await witness("a");
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await witnessed(server);
    const before = a.asked.length;
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(a.asked.length).toBe(before);
  });

  it("asks a URL once for all the keys it holds", async () => {
    const [a, b] = [await witness("a"), await witness("b")];
    a.answer = (body) => ({ status: 200, body: a.cosign(body).body + b.cosign(body).body });
    const policy = `${a.line()}${b.line(`${a.url}/`)}group both all a b\nquorum both\n`;
    const server = await start({ witnessPolicy: files.write("policy", policy) });
    await witnessed(server);
    expect(b.asked).toEqual([]);
  });

  it("shows its plain checkpoint until there is a quorum, and to those who configured no policy", async () => {
    const a = await witness("a");
    a.answer = () => ({ status: 404, body: "unknown log\n" });
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await until(async () => (await status(server)).witnesses[0]?.outcome === "refused");
    const note = await text(`${server.url}/logs/record/checkpoint`);
    expect((await openNote(crypto, note, [parseVkey(await vkeyOf(server))])).verifiedBy).toHaveLength(1);
    expect(note.trimEnd().split("\n\n")[1]?.split("\n")).toHaveLength(1);
    const plain = await start({});
    expect(await status(plain)).toMatchObject({ quorum: null, witnesses: [] });
    expect(await text(`${plain.url}/readyz`)).not.toContain("witnesses");
  });

  it("asks anew when the policy asks for more than what it has", async () => {
    const [a, b] = [await witness("a"), await witness("b")];
    const path = files.write("policy", `${a.line()}quorum a\n`);
    const server = await start({ witnessPolicy: path });
    await witnessed(server);
    files.write("policy", `${a.line()}${b.line()}group both all a b\nquorum both\n`);
    await server.restart();
    await until(async () => b.asked.length > 0 && (await status(server)).witnesses[1]?.outcome === "cosigned");
    expect(await text(`${server.url}/logs/record/checkpoint`)).toContain("\u2014 b ");
  });
});

describe("an answer that is not a cosignature of this checkpoint by the named key", () => {
  const cases: [
    string,
    (a: ScriptedWitness, body: string, other: ScriptedWitness) => ReturnType<ScriptedWitness["cosign"]>,
    RegExp,
  ][] = [
    ["another witness's", (_a, body, other) => other.cosign(body), /no cosignature by the key/],
    [
      "over another checkpoint",
      (a, body) => a.cosign(body, undefined, "log.example\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"),
      /not what it should be/,
    ],
    ["of last year", (a, body) => a.cosign(body, Math.floor(Date.now() / 1000) - 31_536_000), /clock/],
    ["of next year", (a, body) => a.cosign(body, Math.floor(Date.now() / 1000) + 31_536_000), /clock/],
    ["no line at all", () => ({ status: 200, body: "" }), /not what it should be/],
    ["words", () => ({ status: 200, body: "fine\n" }), /not what it should be/],
    ["without end", () => ({ status: 200, body: "x".repeat(1024 * 1024) }), /bytes/],
    [
      "a redirect",
      (_a, _body, other) => ({ status: 307, body: "", headers: { location: `${other.url}/add-checkpoint` } }),
      /redirect/,
    ],
    [
      "a 409 that says no size",
      () => ({ status: 409, body: "7\n", headers: { "content-type": "text/plain" } }),
      /does not say a size/,
    ],
    ["a 403", () => ({ status: 403, body: "no\n" }), /key/],
  ];

  it.each(cases)("counts for nothing: %s", async (_, answer, message) => {
    const [a, other] = [await witness("a"), await witness("other")];
    a.answer = (body) => answer(a, body, other);
    const { endpoints } = readWitnessPolicy(files.write("policy", `${a.line()}quorum a\n`));
    const [endpoint] = endpoints;
    if (endpoint === undefined) throw new Error("no endpoint");
    const request = { old: 0, proof: [], note: new MemoryLog("log.example", ["a"]).note() };
    const said = await askWitness(crypto, endpoint, request, AbortSignal.timeout(5_000));
    expect(said.kind).not.toBe("cosigned");
    expect("message" in said ? said.message : `409 ${JSON.stringify(said)}`).toMatch(message);
    expect(other.asked).toEqual([]);
  });

  it("is not shown to anybody", async () => {
    const [a, other] = [await witness("a"), await witness("other")];
    a.answer = (body) => other.cosign(body);
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await until(async () => (await status(server)).witnesses[0]?.outcome === "refused");
    expect(await status(server)).toMatchObject({ witnessed: null, witnesses: [{ size: null }] });
    expect(await text(`${server.url}/logs/record/checkpoint`)).not.toContain("\u2014 other ");
  });

  it("is asked for three times at most when a witness answers 409 to the size it names", async () => {
    const a = await witness("a");
    a.answer = () => ({ status: 409, body: "0\n", headers: { "content-type": "text/x.tlog.size" } });
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await until(async () => (await status(server)).witnesses[0]?.outcome === "refused");
    expect((await status(server)).witnesses[0]?.message).toContain("409");
    // Twice at the start: what it shows, and what it says to the empty tree.
    expect(a.asked.length).toBeLessThanOrEqual(2 + 3);
  });
});

describe("the alarm", () => {
  it("is raised when a quorum is late, and ends when it comes; writes go on meanwhile", async () => {
    const a = await witness("a");
    a.answer = () => ({ status: 503, body: "" });
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`), witnessLateMs: 1_000 });
    await until(async () => (await status(server)).lateSince !== null);
    const ready = await fetch(`${server.url}/readyz`);
    expect(ready.status).toBe(200);
    expect(await ready.json()).toMatchObject({
      status: "degraded",
      checks: { witnesses: saying(/no quorum since 20/) },
    });
    await until(async () => (await metric(server, "assay_witness_late")) === "1");
    expect((await record(server, "meanwhile")).status).toBe(201);
    a.answer = (body) => a.cosign(body);
    await witnessed(server);
    await until(async () => (await metric(server, "assay_witness_late")) === "0");
    expect(await status(server)).toMatchObject({ lateSince: null });
    expect(await (await fetch(`${server.url}/readyz`)).json()).toMatchObject({ status: "ready" });
  });

  it("is raised by a witness that cannot be reached, whose name the start does not wait for", async () => {
    const a = await witness("a");
    const line = a.line();
    await a.close();
    const server = await start({ witnessPolicy: files.write("policy", `${line}quorum a\n`) });
    expect((await record(server, "alone")).status).toBe(201);
    await until(async () => (await status(server)).witnesses[0]?.outcome === "unreachable");
  });

  it("stops all writing when a witness has cosigned more than the database holds", async () => {
    const a = await witness("a");
    const server = await start({ witnessPolicy: files.write("policy", `${a.line()}quorum a\n`) });
    await witnessed(server);
    a.answer = () => ({ status: 409, body: "100000\n", headers: { "content-type": "text/x.tlog.size" } });
    expect((await record(server, "two")).status).toBe(201);
    await until(async () => (await record(server, `x${Math.random().toString(36).slice(2, 10)}`)).status === 503);
    const refused = await record(server, "three");
    expect(refused).toMatchObject({
      status: 503,
      body: { error: { code: "log-behind-checkpoint", hint: saying("ut the newest one back") } },
    });
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    // What is recorded can still be read.
    expect((await server.api("GET", "/api/assay/v1/witnesses")).body).toMatchObject({ contradicted: ["a"] });
  });
});

describe("a start", () => {
  it("is refused with an old state, though everything of the newer one is gone here", async () => {
    const a = await witness("a");
    const path = files.write("policy", `${a.line()}quorum a\n`);
    const server = await start({ witnessPolicy: path });
    await server.halt();
    const restore = await copyDatabase(server.dataDirectory);
    await server.restart();
    await record(server, "two");
    await witnessed(server);
    const seen = sizeOf(a.request().note);
    await server.halt();

    await restore();
    const logs = join(server.dataDirectory, "logs", "record");
    for (const name of await readdir(logs)) await rm(join(logs, name), { recursive: true });
    a.answer = (body, asked) =>
      asked === "/add-checkpoint" && !body.startsWith(`old ${seen}\n`)
        ? { status: 409, body: `${seen}\n`, headers: { "content-type": "text/x.tlog.size" } }
        : { status: 404, body: "" };
    await expect(server.restart()).rejects.toMatchObject({
      code: "log-behind-checkpoint",
      message: saying(`witness a has cosigned ${seen}`),
      hint: saying("ut the newest one back"),
    });
    // Nothing was signed but the empty tree, which it was asked with.
    expect(await readdir(logs)).not.toContain("newest-checkpoint");
    expect(parseCheckpoint(a.request().note.split("\n\n")[0]?.concat("\n") ?? "").size).toBe(0);
  });

  it.each([
    ["no policy", "nonsense\n"],
    ["plain http to another machine", (a: ScriptedWitness) => `${a.line("http://witness.example/")}quorum a\n`],
    ["a URL with a password", (a: ScriptedWitness) => `${a.line("https://u:p@witness.example/")}quorum a\n`],
    ["a file URL", (a: ScriptedWitness) => `${a.line("file:///etc/passwd")}quorum a\n`],
    ["a quorum nobody can be asked for", (a: ScriptedWitness) => `witness a ${a.vkey}\nquorum a\n`],
  ])("is refused with %s", async (_, policy) => {
    const a = await witness("a");
    const file = files.write("policy", typeof policy === "string" ? policy : policy(a));
    expect(() => readWitnessPolicy(file)).toThrow(/ASSAY_WITNESS_POLICY/);
    await expect(startInstance({ witnessPolicy: file })).rejects.toMatchObject({ code: "config-invalid" });
  });

  it("is refused with a policy that names our own witness, by its key or its URL", async () => {
    const a = await witness("a");
    const path = files.write("policy", "quorum none\n");
    const server = await start({ witnessPolicy: path });
    const own = (await text(`${server.url}/witness/vkey`)).trim();
    files.write("policy", `witness me ${own} ${a.url}\nquorum me\n`);
    await expect(server.restart()).rejects.toMatchObject({
      code: "config-invalid",
      message: saying("own"),
    });
    const other = await start({ witnessPolicy: files.write("other", "quorum none\n") });
    files.write("other", `${a.line(`${other.url}/witness/`)}quorum a\n`);
    await expect(other.restart()).rejects.toMatchObject({
      code: "config-invalid",
      message: saying("own"),
    });
  });
});

describe("two servers that witness each other", () => {
  /** Each knows the other's log and witness. */
  async function pair(relay?: Place): Promise<[Instance, Instance]> {
    const one = await start({ witnessPolicy: files.write("p1", "quorum none\n"), witnessLogs: files.write("l1", "") });
    const two = await start({ witnessPolicy: files.write("p2", "quorum none\n"), witnessLogs: files.write("l2", "") });
    const line = async (of: Instance, name: string, url = of.url): Promise<string> =>
      `witness ${name} ${(await text(`${of.url}/witness/vkey`)).trim()} ${url}/witness\nquorum ${name}\n`;
    files.write("p1", await line(two, "two", relay?.url));
    files.write("p2", await line(one, "one"));
    files.write("l1", `${await vkeyOf(two)}\n`);
    files.write("l2", `${await vkeyOf(one)}\n`);
    if (relay !== undefined) relay.answer = forwardTo(two);
    await one.restart();
    await two.restart();
    return [one, two];
  }

  function forwardTo(server: Instance): Place["answer"] {
    return async (body, path) => {
      const answer = await fetch(`${server.url}${path}`, body === "" ? {} : { method: "POST", body });
      const type = answer.headers.get("content-type") ?? "text/plain";
      return { status: answer.status, body: await answer.text(), headers: { "content-type": type } };
    };
  }

  it("have every checkpoint of each cosigned by the other", async () => {
    const [one, two] = await pair();
    for (const name of ["first", "second"]) {
      await record(one, name);
      await record(two, name);
      await witnessed(one);
      await witnessed(two);
    }
    for (const [server, file] of [
      [one, "p1"],
      [two, "p2"],
    ] as const) {
      const policy = readWitnessPolicy(files.path(file)).policy;
      const note = await text(`${server.url}/logs/record/checkpoint`);
      const opened = await openWitnessed(crypto, note, policy, [parseVkey(await vkeyOf(server))]);
      expect(opened.cosignatures).toHaveLength(1);
    }
  });

  it("catch a record that was rewritten and signed again with its own key: at the start, and without one", async () => {
    const relay = await new Place().open();
    places.push(relay);
    const [one, two] = await pair(relay);
    await witnessed(one);
    await one.halt();
    const restore = await copyDatabase(one.dataDirectory);
    await one.restart();
    await record(one, "true");
    await witnessed(one);
    const seen = (await status(one)).witnessed ?? 0;
    await one.halt();

    // Whoever has the key and the disk puts an older state back, forgets what was signed, and writes another history of more entries.
    await restore();
    const logs = join(one.dataDirectory, "logs", "record");
    for (const name of await readdir(logs)) await rm(join(logs, name), { recursive: true });
    relay.answer = () => ({ status: 503, body: "" });
    await one.restart();
    for (const name of ["false", "falser", "falsest"]) expect((await record(one, name)).status).toBe(201);
    expect((await status(one)).published).toBeGreaterThan(seen);

    // The witness is reached again: it refuses, and says so to everybody who looks.
    relay.answer = forwardTo(two);
    await until(async () => (await status(one)).contradicted.length > 0, 70_000);
    const said = await status(one);
    expect(said.witnesses[0]).toMatchObject({
      outcome: "inconsistent",
      message: saying("another history"),
    });
    expect(said.witnessed ?? 0).toBeLessThanOrEqual(seen);
    expect(await (await fetch(`${one.url}/readyz`)).json()).toMatchObject({
      status: "degraded",
      checks: { witnesses: "contradicted by two" },
    });
    await until(async () => (await metric(one, "assay_witness_contradicted")) === "1");

    // A start that reaches it does not get as far as signing.
    await expect(one.restart()).rejects.toMatchObject({
      code: "log-inconsistent",
      message: saying("two has cosigned"),
    });
  }, 120_000);
});
