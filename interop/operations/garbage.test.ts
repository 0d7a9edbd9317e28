import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "../clients.ts";
import { procedure } from "./guide.ts";
import { type Client, clientOf, installService, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

describe.skipIf(impossible !== undefined)(`what goes by itself (${impossible ?? "on a real systemd"})`, () => {
  const garbage = procedure("Garbage");
  const retention = procedure("Retention");
  let reader: ReadersMachine;
  let client: Client;

  beforeAll(async () => {
    reader = await startReadersMachine([dirname(clientProgram("crane"))]);
    await installService(reader);
    client = clientOf(reader);
  });

  afterAll(() => reader.stop());

  it("collects garbage, and nothing that is named", async () => {
    const digest = await client.push("1.0.0");
    const collected = await reader.must(garbage.step("collect --preview"));
    expect(collected).toMatch(/collected +0 blobs/);
    expect(await client.digest("1.0.0")).toBe(digest);
  });

  it("previews, sets and applies retention: a release tag stays", async () => {
    const digest = await client.push("1.0.1");
    const said = await reader.must(retention.step("retention preview"));
    expect(said).toContain("1.0.1");
    expect(await client.digest("1.0.1")).toBe(digest);
  });
});
