/** Evidence of every form in, found again, out in one file, and verified with nothing but that. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Desk } from "./desk.ts";
import { startTestServer, type TestServer } from "./server.ts";

const PROVENANCE = "https://slsa.dev/provenance/v1";

describe("evidence on a real server", () => {
  let server: TestServer;
  let desk: Desk;
  let app: string;
  let digest: string;

  beforeAll(async () => {
    server = await startTestServer();
    desk = new Desk({ ASSAY_URL: server.url, ASSAY_TOKEN: server.token, ASSAY_ORG: "default" });
    app = desk.file("app.bin", "a program\n");
    digest = `sha256:${createHash("sha256").update("a program\n").digest("hex")}`;
    const release = await desk.keyPair("release");
    await desk.must("trust", "add", "release", "--key", release.pub);
    await desk.must("sign", app, "--key", release.key, "--bundle", desk.path("app.sigstore.json"));
  });

  afterAll(async () => {
    await server.stop();
    desk.remove();
  });

  function provenance(run: string): string {
    const predicate = {
      buildDefinition: {
        buildType: "https://example.com/build/v1",
        externalParameters: {
          workflow: { repository: "https://github.com/acme/app", ref: "refs/heads/main", path: "b.yml" },
        },
        resolvedDependencies: [
          { uri: "git+https://github.com/acme/app@refs/heads/main", digest: { gitCommit: "a".repeat(40) } },
        ],
      },
      runDetails: { builder: { id: "https://ci.example.com/b" }, metadata: { invocationId: run } },
    };
    return desk.file(`provenance-${run}.json`, JSON.stringify(predicate));
  }

  it("takes a bundle, and a bare signature beside its file, and both are worth the same", async () => {
    await desk.must("evidence", "add", desk.path("app.sigstore.json"));
    const bundle = JSON.parse(readFileSync(desk.path("app.sigstore.json"), "utf8")) as {
      messageSignature: { signature: string };
    };
    const signature = desk.file("app.sig", `${bundle.messageSignature.signature}\n`);
    const added = await desk.must("evidence", "add", "--signature", signature, "--artifact", app, "--output", "json");
    expect(added.json()).toMatchObject({ form: "message-signature", subjects: [digest], created: true });
    expect((await desk.must("verify", app)).stdout).toMatch(/VERIFIED {2}2 of 2/);
  });

  it("wants to know what a signature is over, and nothing more than that", async () => {
    const signature = desk.file("other.sig", "AAAA");
    for (const wrong of [
      ["--signature", signature],
      ["--artifact", app],
      [desk.path("app.sigstore.json"), "--signature", signature, "--artifact", app],
      [],
    ]) {
      expect((await desk.assay("evidence", "add", ...wrong)).exit).toBe(2);
    }
    expect((await desk.assay("evidence", "add", desk.file("none.json", "{}"))).exit).toBe(2);
  });

  it("imports a file of lines, says which were none, and finds them by builder and repository", async () => {
    const lines: string[] = [];
    for (const run of ["1", "2"]) {
      const out = desk.path(`attested-${run}.json`);
      const made = [
        "attest",
        "custom",
        app,
        "-t",
        "file",
        "--predicate-type",
        PROVENANCE,
        "--predicate",
        provenance(run),
      ];
      await desk.must(...made, "--key", desk.path("release.key"), "--bundle", out, "--no-upload");
      lines.push(readFileSync(out, "utf8").trim());
    }
    const file = desk.file("app.intoto.jsonl", `${[lines[0], "# a note", lines[1], lines[0]].join("\n")}\n`);
    const imported = await desk.must("evidence", "import", file);
    expect(imported.stdout).toMatch(/added +2\n/);
    expect(imported.stdout).toContain("line 2: ignored");
    const found = await desk.must("evidence", "search", "--builder", "https://ci.example.com/b", "--output", "json");
    expect(found.json()["evidence"]).toHaveLength(2);
    const none = await desk.must("evidence", "search", "--builder", "https://ci.example.com/other");
    expect(none.stdout).toContain("no evidence says that");
    expect((await desk.assay("evidence", "search")).exit).toBe(2);
  });

  it("exports everything, which verifies with no network under one's own trust, and under no other", async () => {
    const [out, trust] = [desk.path("all.json"), desk.path("trust.json")];
    await desk.must("evidence", "export", app, "--to", out, "--trust-to", trust);
    const away = { ASSAY_URL: undefined, ASSAY_TOKEN: undefined };
    const checked = await desk.assayWith(away, "evidence", "check", out, "--trust", trust);
    expect(checked.exit, checked.stdout + checked.stderr).toBe(0);
    expect(checked.stdout).toMatch(/VERIFIED {2}4 of 4/);
    expect((await desk.assayWith(away, "evidence", "check", out)).exit).toBe(2);
    const nobody = JSON.parse(readFileSync(trust, "utf8")) as { entries: unknown[] };
    const strangers = desk.file("strangers.json", JSON.stringify({ ...nobody, entries: [] }));
    expect((await desk.assayWith(away, "evidence", "check", out, "--trust", strangers)).exit).toBe(1);
  });

  it("says no to an export with one byte altered, and does not take a cut one for a whole", async () => {
    const text = readFileSync(desk.path("all.json"), "utf8");
    const altered = desk.file("altered.json", text.replace(/"bytes":"e/, '"bytes":"f'));
    const check = (file: string) => desk.assay("evidence", "check", file, "--trust", desk.path("trust.json"));
    expect((await check(altered)).exit).toBe(1);
    expect((await check(desk.file("cut.json", text.replace('"next":null', '"next":1')))).exit).toBe(3);
    expect((await check(desk.file("half.json", text.slice(0, text.length / 2)))).exit).toBe(3);
  });
});
