/** Pull gates as a person sets them: against a real server. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

let server: TestServer;
let desk: Desk;

beforeAll(async () => {
  server = await startTestServer();
  desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
  const policy = readFileSync(new URL("../../../docs/examples/signed.yaml", import.meta.url), "utf8");
  const file = desk.file("policy.yaml", policy.replace(/^name: .*$/m, "name: production"));
  await desk.must("policy", "set", "production", file);
});

afterAll(async () => {
  await server.stop();
  desk.remove();
});

describe("assay gate", () => {
  it("sets, lists, shows and clears the gates of an organisation", async () => {
    expect((await desk.must("gate", "list")).stdout).toBe("there are none yet\n");
    expect((await desk.must("gate", "set", "team/**", "--policy", "production")).stdout).toBe(
      "default/team/** serves only what policy production allows\n",
    );
    await desk.must("gate", "set", "default/app", "--policy", "production", "--platforms", "index");
    expect((await desk.must("gate", "set", "team/**", "--policy", "production")).stdout).toContain("already");
    expect((await desk.must("gate", "list")).stdout).toMatch(
      /default\/app +production +index +admin .*\ndefault\/team\/\*\* +production +own +admin /,
    );
    const shown = await desk.must("gate", "show", "team/a/b", "--output", "json");
    expect(JSON.parse(shown.stdout)).toMatchObject([{ repository: "default/team/**", policy: "production" }]);
    expect((await desk.must("gate", "show", "other")).stdout).toBe("no gate stands over default/other\n");
    expect((await desk.must("gate", "clear", "team/**")).stdout).toBe(
      "no gate stands under default/team/** any more\n",
    );
    expect((await desk.assay("gate", "clear", "team/**")).exit).toBe(1);
    expect((await desk.assay("gate", "set", "app", "--policy", "none")).exit).toBe(1);
  });
});
