/** A data directory at another place: what may be moved, and what a copy beside the original comes to. */
import { cp, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseVkey, type RecordReceipt, verifyReceipt } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import { afterEach, describe, expect, it } from "vitest";
import { checkDirectory } from "../src/admin/check.ts";
import { temporaryDirectory } from "./core.ts";
import { dropPlace, ENGINE, placeOf } from "./database.ts";
import { type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage } from "./pushing.ts";
import { s3Of } from "./stored-blobs.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** Starts a server on the data directory at `to`, with the database and the blobs that belong to the one that was at `from`. */
async function startAt(to: string, from: string): Promise<Instance> {
  const { databaseUrl } = await placeOf(from);
  return await startInstance({ dataDirectory: to, databaseUrl, s3: s3Of(from) });
}

async function place(): Promise<string> {
  const { path, dispose } = await temporaryDirectory();
  cleanups.push(dispose);
  return path;
}

async function makeOrganisation(instance: Instance, name: string): Promise<RecordReceipt> {
  const answer = await instance.api("POST", "/api/assay/v1/orgs", { name });
  expect(answer.status).toBe(201);
  const { sequence } = answer.body as { sequence?: number };
  const found = sequence ?? (await newest(instance));
  return (await instance.api("GET", `/api/assay/v1/record/${found}/receipt`)).body as RecordReceipt;
}

async function newest(instance: Instance): Promise<number> {
  await instance.published();
  return Number((await checkpointOf(instance)).split("\n")[1]) - 1;
}

async function checkpointOf(instance: Instance): Promise<string> {
  await instance.published();
  return await (await fetch(`${instance.url}/logs/record/checkpoint`)).text();
}

async function findings(directory: string, from: string, against?: string): Promise<string[]> {
  const { databaseUrl } = await placeOf(from);
  const report = await checkDirectory({
    dataDirectory: directory,
    databaseUrl,
    s3: s3Of(from),
    tell: () => undefined,
    ...(against === undefined ? {} : { against }),
  });
  return report.findings.map(({ where, problem }) => `${where}: ${problem}`);
}

describe("a data directory that is moved while its server is stopped", () => {
  it("goes on at the new place: record, blobs, keys and receipts, and no file knows the old place", async () => {
    const instance = await startInstance();
    const old = instance.dataDirectory;
    cleanups.push(() => dropPlace(old));
    const { layer } = await pushImage(instance.url, "default/app", "1.0.0", Buffer.from("a layer"));
    const receipt = await makeOrganisation(instance, "before");
    const vkey = (await (await fetch(`${instance.url}/logs/record/vkey`)).text()).trim();
    await instance.published();
    await instance.halt();
    for (const entry of await readdir(old, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = await readFile(join(entry.parentPath, entry.name));
      expect(bytes.includes(old), entry.name).toBe(false);
    }

    const moved = join(await place(), "elsewhere", "with a space");
    await cp(old, moved, { recursive: true });
    await rm(old, { recursive: true });
    const again = await startAt(moved, old);
    const blob = await fetch(`${again.url}/v2/default/app/blobs/${layer}`, { headers: { authorization: ADMIN_BASIC } });
    expect(await blob.text()).toBe("a layer");
    const later = await makeOrganisation(again, "after");
    const keys = [parseVkey(vkey)];
    for (const held of [receipt, later]) await verifyReceipt(nodeCrypto, held, keys);
    expect(later.sequence).toBeGreaterThan(receipt.sequence);
    await again.published();
    await again.halt();
    expect(await findings(moved, old, receipt.checkpoint)).toEqual([]);
    // And back, by a rename.
    await rename(moved, old);
    const back = await startAt(old, old);
    await makeOrganisation(back, "back-again");
    await back.published();
    await back.halt();
    expect(await findings(old, old, later.checkpoint)).toEqual([]);
    await rm(old, { recursive: true });
  });
});

describe.runIf(ENGINE === "sqlite")("a copy that is started beside the original", () => {
  it("signs a second history, which nothing inside either shows and a checkpoint of the other does", async () => {
    const original = await startInstance();
    cleanups.push(() => rm(original.dataDirectory, { recursive: true, force: true }));
    await original.published();
    await original.halt();
    const copied = await place();
    await cp(original.dataDirectory, copied, { recursive: true });
    await original.restart();
    const copy = await startAt(copied, copied);
    await makeOrganisation(original, "here");
    await makeOrganisation(copy, "there");
    const [here, there] = [await checkpointOf(original), await checkpointOf(copy)];
    await copy.halt();
    await original.halt();
    expect(await findings(original.dataDirectory, original.dataDirectory)).toEqual([]);
    expect(await findings(copied, copied)).toEqual([]);
    expect((await findings(original.dataDirectory, original.dataDirectory, there)).join()).toContain("history");
    expect((await findings(copied, copied, here)).join()).toContain("history");
  });
});
