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

  it("explains one piece by its digest: what it is worth, and everything that was checked", async () => {
    const listed = (await desk.must("evidence", "list", app, "--output", "json")).json() as {
      evidence: { evidence: string }[];
    };
    const piece = listed.evidence[0]?.evidence ?? "";
    const plain = await desk.must("evidence", "show", piece);
    expect(plain.stdout).toContain(`What it is worth, \`assay verify ${digest}\` says.`);
    const told = await desk.must("evidence", "show", piece, "--explain", "--repository", "app");
    expect(told.stdout).toContain(`\nabout ${digest}\nverified  `);
    expect(told.stdout).toMatch(/\ntrust of default, version \d+, as of record \d+, in default\/app\n/);
    expect(told.stdout).toMatch(/\n {12}\[pass\] signature: /);
    expect(told.stdout).not.toContain("This is what it claims");
    const verified = (await desk.must("verify", app, "--explain", "--output", "json")).json() as {
      evidence: { evidence: string }[];
    };
    const json = (await desk.must("evidence", "show", piece, "--explain", "--output", "json")).json();
    const alike = verified.evidence.find(({ evidence }) => evidence === piece);
    expect(json).toMatchObject({ judged: { evidence: [{ ...alike, subject: digest }], more: false } });
    expect(await desk.assay("evidence", "show", piece, "--repository", "app")).toMatchObject({ exit: 2, stdout: "" });
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

  it("says of the same signature in other bytes that it is here already, and which piece had it first", async () => {
    const file = desk.file("line-feed.bin", "one line feed more\n");
    const bundle = desk.path("line-feed.json");
    await desk.must("sign", file, "--key", desk.path("release.key"), "--bundle", bundle);
    const first = await desk.must("evidence", "add", bundle);
    expect(first.stdout).not.toMatch(/^again/m);
    const again = await desk.must("evidence", "add", bundle, "--output", "json");
    expect(again.json()).toMatchObject({ created: false, earlier: null });

    const longer = desk.file("line-feed-more.json", `${readFileSync(bundle, "utf8")}\n`);
    const { sequence, evidence } = again.json() as { sequence: number; evidence: string };
    const added = await desk.must("evidence", "add", longer);
    expect(added.stdout).toContain(`the same signature is here since record ${sequence}, in other bytes`);
    expect(added.stdout).toContain("its signer counts once all the same");
    expect((await desk.must("evidence", "add", longer, "--output", "json")).json()).toMatchObject({
      created: false,
      earlier: sequence,
    });
    const listed = await desk.must("evidence", "list", file);
    expect(listed.stdout.match(/^ +again +the same signature as sha256:[0-9a-f]{64}, in other bytes$/gm)).toHaveLength(
      1,
    );
    expect(listed.stdout).toContain(`the same signature as ${evidence}, in other bytes`);
    const pieces = (await desk.must("evidence", "list", file, "--output", "json")).json()["evidence"];
    expect(pieces).toMatchObject([{ sameSignatureAs: null }, { sameSignatureAs: evidence }]);
    expect((await desk.must("artifact", "show", file)).stdout).toContain(`(the same signature as ${evidence})`);

    // Line by line a final line feed is no part of a piece; white space inside is.
    const [line = ""] = readFileSync(bundle, "utf8").split("\n");
    const same = await desk.must("evidence", "import", desk.file("same.jsonl", `${line}\n`));
    expect(same.stdout).toMatch(/added +0\nhere already +1\n/);
    const spaced = desk.file("spaced.jsonl", `${line.replace("{", "{ ")}\n`);
    expect((await desk.must("evidence", "import", spaced)).stdout).toMatch(
      /added +1\nof them +1 with a signature that was here in other bytes\n/,
    );
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
