import { createHash } from "node:crypto";
import { formatCheckpoint, formatNote, openNote, parseVkey, verifyCosignatures } from "@assay/evidence";
import { nodeCrypto as crypto } from "@assay/evidence/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Instance, startInstance } from "./instance.ts";
import { Files, MemoryLog, saying } from "./witness-places.ts";

const files = new Files();
const log = new MemoryLog("log.example/one", ["a", "b", "c"]);
const stranger = new MemoryLog("log.example/stranger", ["a"]);
let server: Instance;
let logsFile: string;

beforeAll(async () => {
  logsFile = files.write("logs", `# theirs\n\n${log.vkey}\n`);
  server = await startInstance({ witnessLogs: logsFile });
});

afterAll(async () => {
  await server.stop();
  files.remove();
});

interface Answered {
  status: number;
  type: string | null;
  text: string;
}

async function send(body: string | Buffer, type?: string): Promise<Answered> {
  const answer = await fetch(`${server.url}/witness/add-checkpoint`, {
    method: "POST",
    body: typeof body === "string" ? Buffer.from(body) : new Uint8Array(body),
    ...(type === undefined ? {} : { headers: { "content-type": type } }),
  });
  return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
}

async function vkey(): Promise<string> {
  return (await (await fetch(`${server.url}/witness/vkey`)).text()).trim();
}

/** Listed among the logs to witness from the next start on. */
async function listed(...logs: MemoryLog[]): Promise<void> {
  files.write("logs", logs.map((each) => `${each.vkey}\n`).join(""));
  await server.restart();
}

describe("the witness door", () => {
  it("cosigns a first checkpoint and what continues it, each time with a cosignature that verifies", async () => {
    const key = parseVkey(await vkey());
    expect(key.name).toMatch(/\/witness$/);
    for (const [old, entries] of [
      [0, ["a", "b", "c"]],
      [3, ["a", "b", "c", "d", "e"]],
      [5, ["a", "b", "c", "d", "e"]],
      [5, ["a", "b", "c", "d", "e", "f", "g", "h"]],
    ] as const) {
      const answer = await send(log.request(old, entries));
      expect(answer).toMatchObject({ status: 200, type: "text/plain; charset=utf-8" });
      const note = log.note(entries);
      const [cosignature] = await verifyCosignatures(crypto, note + answer.text, [key]);
      expect(Math.abs((cosignature?.time ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    }
  });

  it("says its size in exactly the form of the specification when the old size is another", async () => {
    for (const old of [0, 3, 7]) {
      const answer = await send(log.request(old, ["a", "b", "c", "d", "e", "f", "g", "h", "i"]));
      expect(answer).toEqual({ status: 409, type: "text/x.tlog.size", text: "8\n" });
    }
  });

  it("remembers over a restart, and shows what it cosigned", async () => {
    await server.restart();
    expect((await send(log.request(0))).text).toBe("8\n");
    const hash = createHash("sha256").update(log.origin).digest("hex");
    const shown = await (await fetch(`${server.url}/witness/${hash}/checkpoint`)).text();
    expect((await openNote(crypto, shown, [parseVkey(log.vkey)])).text).toContain("\n8\n");
    expect(await verifyCosignatures(crypto, shown, [parseVkey(await vkey())])).toHaveLength(1);
    const other = createHash("sha256").update(stranger.origin).digest("hex");
    expect((await fetch(`${server.url}/witness/${other}/checkpoint`)).status).toBe(404);
  });

  it("refuses a fork, of any size and at any place, with 422", async () => {
    const eight = ["a", "b", "c", "d", "e", "f", "g", "h"];
    const forked = ["a", "b", "X", "d", "e", "f", "g", "h"];
    expect((await send(log.request(8, forked))).status).toBe(422);
    expect((await send(log.request(8, [...forked, "i"]))).status).toBe(422);
    // A right proof for a wrong claim, and no proof where one is needed.
    expect((await send(log.request(8, [...eight, "i"]).replace(/^(old 8\n).+?\n\n/s, "$1\n"))).status).toBe(422);
    expect((await send(log.request(0))).text).toBe("8\n");
  });

  it("answers 404 to a log it was not told of, and 403 to one that did not sign", async () => {
    expect((await send(stranger.request(0))).status).toBe(404);
    const imposter = new MemoryLog(log.origin, log.entries);
    expect((await send(imposter.request(0))).status).toBe(403);
    // A right signature of the log's beside a wrong one under its name: such a note is malformed.
    const note = log.note();
    const wrong = note.split("\n").at(-2)?.replace(/.{8}$/, "AAAAAA==") ?? "";
    expect((await send(`old 0\n\n${note}${wrong}\n`)).status).toBe(403);
    // Strangers' signatures are ignored, and not handed on.
    const both = `${note}${stranger.sign(note)}\n`;
    expect((await send(`old 0\n\n${both}`)).status).toBe(409);
  });

  it.each([
    ["nothing", ""],
    ["no empty line", "old 0\n"],
    ["no old size", `\n\n${log.note()}`],
    ["an old size with a leading zero", log.request(0).replace("old 0", "old 00")],
    ["an old size with a sign", log.request(0).replace("old 0", "old +0")],
    ["an old size beyond 2^53", log.request(0).replace("old 0", "old 9007199254740993")],
    ["a proof line of 31 bytes", log.request(0).replace("old 0\n", `old 0\n${Buffer.alloc(31).toString("base64")}\n`)],
    ["a proof line that is no base64", log.request(0).replace("old 0\n", "old 0\n!\n")],
    [
      "64 proof lines",
      log.request(0).replace("old 0\n", `old 0\n${`${Buffer.alloc(32).toString("base64")}\n`.repeat(64)}`),
    ],
    ["carriage returns", log.request(0).replaceAll("\n", "\r\n")],
    ["an old size above the checkpoint's", log.request(0).replace("old 0", "old 99")],
    ["a note that is none", `old 0\n\n${log.origin}\nmore\n`],
  ])("answers 400 to %s", async (_, body) => {
    expect((await send(body)).status).toBe(400);
  });

  it("answers 400 to a signed note that is no checkpoint, and to bytes that are no UTF-8", async () => {
    const text = `${log.origin}\nnot a size\n`;
    expect((await send(`old 0\n\n${formatNote(text, [log.sign(text)])}`)).status).toBe(400);
    expect((await send(Buffer.concat([Buffer.from("old 0\n\n"), Buffer.of(0xff, 0xfe)]))).status).toBe(400);
  });

  it("takes a request of any content type, of no more than 128 KiB", async () => {
    for (const type of [
      "application/octet-stream",
      "application/x-www-form-urlencoded",
      "application/json",
      undefined,
    ]) {
      expect((await send(log.request(0), type)).status).toBe(409);
    }
    expect((await send(`old 0\n\n${"x".repeat(200 * 1024)}`)).status).toBe(413);
    expect((await fetch(`${server.url}/witness/add-checkpoint`)).status).toBe(404);
  });

  it("takes the empty tree for what it is, and nothing else for it", async () => {
    const young = new MemoryLog("log.example/young");
    await listed(log, young);
    const lie = { origin: young.origin, size: 0, root: new Uint8Array(32), extensions: [] };
    const text = formatCheckpoint(lie);
    expect((await send(`old 0\n\n${formatNote(text, [young.sign(text)])}`)).status).toBe(422);
    expect((await send(young.request(0))).status).toBe(200);
    expect((await send(young.request(0, ["a", "b"]))).status).toBe(200);
    expect((await send(young.request(0))).text).toBe("2\n");
    // A proof from nothing must be empty.
    const proven = new MemoryLog("log.example/proven", ["a"]);
    await listed(proven);
    const line = `${Buffer.alloc(32).toString("base64")}\n`;
    expect((await send(proven.request(0).replace("old 0\n", `old 0\n${line}`))).status).toBe(422);
    expect((await send(proven.request(0))).status).toBe(200);
  });

  it("cosigns one history of many that are sent at once", async () => {
    const racer = new MemoryLog("log.example/racer", ["a"]);
    await listed(racer);
    expect((await send(racer.request(0))).status).toBe(200);
    const forks = Array.from({ length: 12 }, (_, index) => [
      "a",
      `fork ${index}`,
      ...Array<string>(index % 3).fill("more"),
    ]);
    const answers = await Promise.all(forks.map((entries) => send(racer.request(1, entries))));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    for (const { status } of answers) expect([200, 409, 422]).toContain(status);
    const winner = forks[answers.findIndex(({ status }) => status === 200)] ?? [];
    expect((await send(racer.request(0))).text).toBe(`${winner.length}\n`);
    expect((await send(racer.request(winner.length, [...winner, "next"]))).status).toBe(200);
  });

  it("does not let repetitions of the newest checkpoint keep it busy, nor keep the log from going on", async () => {
    const busy = new MemoryLog("log.example/busy", ["a"]);
    await listed(busy);
    expect((await send(busy.request(0))).status).toBe(200);
    const repeated = await Promise.all(Array.from({ length: 20 }, () => send(busy.request(1))));
    expect(repeated.some(({ status }) => status === 429)).toBe(true);
    expect((await send(busy.request(1, ["a", "b"]))).status).toBe(200);
  });

  it("accepts either key of a log that changes its key", async () => {
    const old = new MemoryLog("log.example/rotating", ["a"]);
    const next = new MemoryLog("log.example/rotating", ["a", "b"]);
    await listed(old, next);
    expect((await send(old.request(0))).status).toBe(200);
    expect((await send(next.request(1))).status).toBe(200);
    await listed(next);
    expect((await send(old.request(2, ["a", "b", "c"]))).status).toBe(403);
  });
});

describe("the list of logs to witness", () => {
  const refused = async (text: string): Promise<unknown> => {
    const path = files.write("refused", text);
    return await startInstance({ witnessLogs: path }).then(
      async (started) => {
        await started.stop();
        return undefined;
      },
      (error: unknown) => error,
    );
  };

  it.each([
    ["words", "not a key\n"],
    ["a broken key", `${log.vkey.slice(0, -1)}\n`],
    ["the same key twice", `${log.vkey}\n${log.vkey}\n`],
  ])("with %s refuses the start and names the line", async (_, text) => {
    expect(await refused(text)).toMatchObject({ code: "config-invalid", message: saying("line ") });
  });

  it("with a witness's key in place of a log's refuses the start", async () => {
    expect(await refused(`${await vkey()}\n`)).toMatchObject({ code: "config-invalid" });
  });

  it("never has our own log in it", async () => {
    const own = await (await fetch(`${server.url}/logs/record/vkey`)).text();
    files.write("logs", own);
    await expect(server.restart()).rejects.toMatchObject({
      code: "config-invalid",
      message: saying("our own log"),
    });
    files.write("logs", "");
    await server.restart().catch(() => undefined);
  });
});
