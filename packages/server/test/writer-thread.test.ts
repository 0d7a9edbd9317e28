import { afterEach, beforeEach, expect, it } from "vitest";
import { organisationExists } from "../src/access/queries.ts";
import { SYSTEM_ACTOR } from "../src/record/command.ts";
import { SettledRecord } from "../src/record/settled.ts";
import type { ReadDatabase } from "../src/storage/database.ts";
import { openReader } from "../src/storage/open.ts";
import { startWriterThread, type WriterThread } from "../src/writer-thread.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let writer: WriterThread;
let reader: ReadDatabase;

beforeEach(async () => {
  directory = await temporaryDirectory();
  const place = await placeOf(directory.path);
  writer = await startWriterThread({ ...place, org: "default" });
  reader = openReader(place);
});

afterEach(async () => {
  await reader.close();
  expect(await writer.stop()).toBeUndefined();
  await directory.dispose();
});

it("what the thread has acknowledged is in what follows from the record, however often it was asked for meanwhile", async () => {
  const settled = new SettledRecord(reader, writer.client.stamp);
  // On PostgreSQL other hosts write the record too, and no stamp of ours says so.
  expect(writer.client.stamp === undefined).toBe((await placeOf(directory.path)).databaseUrl !== undefined);
  let acknowledged = -1;
  let done = false;
  let [asked, unknown, missed] = [0, 0, 0];
  const asking = async (): Promise<void> => {
    while (!done) {
      const newest = acknowledged;
      const now = await settled.now();
      if (newest >= 0 && !(await organisationExists(now, `org-${newest}`))) missed += 1;
      // The next one: not there yet most often, and then remembered so.
      if (!(await organisationExists(now, `org-${newest + 1}`))) unknown += 1;
      asked += 1;
      if (asked % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const all = [asking(), asking(), asking()];
  for (let n = 0; n < 120; n += 1) {
    const name = `org-${n}`;
    const command = { type: "access.create-organisation", org: name, actor: SYSTEM_ACTOR, body: { name } };
    expect(await writer.client.append(command)).toMatchObject({ ok: true });
    acknowledged = n;
    expect(await organisationExists(await settled.now(), name)).toBe(true);
  }
  done = true;
  await Promise.all(all);
  expect(missed).toBe(0);
  expect(asked).toBeGreaterThan(20);
  expect(unknown).toBeGreaterThan(0);
}, 30_000);
