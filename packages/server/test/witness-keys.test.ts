import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseVkey } from "@assay/evidence";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkWitnessed } from "../src/admin/check-witness.ts";
import { ENGINE, openRaw } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { Files, MemoryLog, saying } from "./witness-places.ts";

let files: Files;
let server: Instance;
let keyFile: string;

beforeEach(async () => {
  files = new Files();
  server = await startInstance({ witnessLogs: files.write("logs", "") });
  keyFile = join(server.dataDirectory, "keys", "witness.key.json");
});

afterEach(async () => {
  await server.stop().catch(() => undefined);
  files.remove();
});

const vkey = async (): Promise<string> => (await (await fetch(`${server.url}/witness/vkey`)).text()).trim();
const idOf = async (): Promise<string> => (JSON.parse(await readFile(keyFile, "utf8")) as { id: string }).id;

async function keys(): Promise<{ id: string; retired: boolean }[]> {
  const body = (await server.api("GET", "/api/assay/v1/keys")).body as {
    keys: { id: string; purpose: string; retired: boolean }[];
  };
  return body.keys.filter(({ purpose }) => purpose === "witness").map(({ id, retired }) => ({ id, retired }));
}

/** Damages the stopped server's tables, and starts it again. */
async function restartAfter(damage: () => Promise<void>): Promise<void> {
  await server.halt();
  await damage();
  await server.restart();
}

async function sql(statement: string): Promise<void> {
  const raw = await openRaw(server.dataDirectory);
  await raw.run(statement);
  await raw.close();
}

describe("the witness key", () => {
  it("is made with the record, recorded, and stays", async () => {
    const first = await vkey();
    expect(parseVkey(first).algorithm).toBe(4);
    expect(await keys()).toEqual([{ id: await idOf(), retired: false }]);
    await server.restart();
    expect(await vkey()).toBe(first);
    expect(await keys()).toHaveLength(1);
  });

  it("whose public key cannot be read any more is a finding of a check, not its end", async () => {
    const id = await idOf();
    await sql("update key set public_key = replace(public_key, 'KEY-----', 'KEY---)-') where purpose = 'witness'");
    const found: string[] = [];
    for await (const { where, problem } of checkWitnessed(server.reader, undefined)) found.push(`${where}: ${problem}`);
    expect(found).toEqual([expect.stringContaining(`table key, row of ${id}: its public key cannot be read`)]);
  });

  // PostgreSQL keeps no text that is none.
  it.runIf(ENGINE === "sqlite")("does not look for ever at a log whose name has a damaged byte", async () => {
    await sql(
      "insert into witnessed_log (origin, size, root, note, time) values (cast(x'6c6f67f02e6f6e65' as text), 1, x'00', 'no note', 1)",
    );
    const found: string[] = [];
    for await (const { where, problem } of checkWitnessed(server.reader, undefined)) found.push(`${where}: ${problem}`);
    expect(found.filter((line) => line.includes("row of log\ufffd.one"))).toHaveLength(2);
    expect(found.at(-1)).toContain("it comes again after itself");
  });

  it("of a state that was lost with its database is retired, and never used again", async () => {
    const first = await vkey();
    const log = new MemoryLog("log.example/one", ["a"]);
    files.write("logs", `${log.vkey}\n`);
    // What a restored backup lacks: tables of no record.
    await restartAfter(() => sql("delete from bound_key; delete from witnessed_log"));
    const second = await vkey();
    expect(second).not.toBe(first);
    const [old, current] = await keys();
    expect([old?.retired, current]).toEqual([true, { id: await idOf(), retired: false }]);
    const answer = await fetch(`${server.url}/witness/add-checkpoint`, { method: "POST", body: log.request(0) });
    expect(answer.status).toBe(200);
    await server.restart();
    expect(await vkey()).toBe(second);
  });

  it("of a log that was succeeded is retired: an older state goes on", async () => {
    const first = await vkey();
    await restartAfter(() =>
      sql("update key set created_sequence = (select max(created_sequence) + 1 from key) where purpose = 'log-record'"),
    );
    expect(await vkey()).not.toBe(first);
    expect((await keys()).map(({ retired }) => retired)).toEqual([true, false]);
  });

  it("does not sign for a database that is bound to another key, even while it runs", async () => {
    const log = new MemoryLog("log.example/one", ["a"]);
    files.write("logs", `${log.vkey}\n`);
    await server.restart();
    await sql(`update bound_key set id = '${"0".repeat(64)}'`);
    const answer = await fetch(`${server.url}/witness/add-checkpoint`, { method: "POST", body: log.request(0) });
    expect(answer.status).toBe(500);
    await sql(`update bound_key set id = '${await idOf()}'`);
    const again = await fetch(`${server.url}/witness/add-checkpoint`, { method: "POST", body: log.request(0) });
    expect(again.status).toBe(200);
  });

  it("that a crashed start made, but did not record, is the one that is recorded", async () => {
    await server.halt();
    await sql("delete from bound_key");
    await server.restart();
    const made = await idOf();
    // As if that start had ended after the file: the record does not know the key, nor does the database.
    await server.halt();
    await sql(
      "delete from bound_key; delete from key where id <> (select id from key where purpose = 'witness' order by created_sequence limit 1) and purpose = 'witness'; update key set retired_sequence = null where purpose = 'witness'",
    );
    await server.restart();
    expect(await idOf()).toBe(made);
    expect((await keys()).map(({ retired }) => retired)).toEqual([true, false]);
  });

  it.runIf(ENGINE === "sqlite")("whose file is lost is followed by a new one", async () => {
    const first = await vkey();
    await restartAfter(() => rm(keyFile));
    expect(await vkey()).not.toBe(first);
    expect((await keys()).map(({ retired }) => retired)).toEqual([true, false]);
  });

  it.runIf(ENGINE === "postgres")("may be at another host: one without it starts, and witnesses nobody", async () => {
    await restartAfter(() => rm(keyFile));
    expect((await keys()).map(({ retired }) => retired)).toEqual([false]);
    expect((await fetch(`${server.url}/witness/vkey`)).status).toBe(404);
    files.write("logs", `${new MemoryLog("log.example/one").vkey}\n`);
    await expect(server.restart()).rejects.toMatchObject({
      code: "key-missing",
      hint: saying("copy keys/witness.key.json"),
    });
  });

  it("comes to a record that was founded before there were witnesses", async () => {
    await server.halt();
    await rm(keyFile);
    // The projection alone is what a start looks at; the events stay as they are.
    await sql("delete from key where purpose = 'witness'; delete from bound_key");
    await server.restart();
    expect(await keys()).toEqual([{ id: await idOf(), retired: false }]);
    expect((await server.api("GET", "/readyz")).status).toBe(200);
  });
});
