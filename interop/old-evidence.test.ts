/** Evidence in the forms of before, as real clients write them, taken in at the push. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Api, apiOf, type Evidence } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

const REPOSITORY = "default/app";
const PROVENANCE = "https://slsa.dev/provenance/v1";
const OLD = ["--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry"];

type Piece = Evidence & { form: string };

describe("cosign in the formats of its version 2", () => {
  let server: Server;
  let home: Home;
  let image: Image;
  let reference: string;
  let api: Api;

  const evidence = async (): Promise<Piece[]> => (await api.evidence("default", image.digest, REPOSITORY)) as Piece[];

  beforeAll(async () => {
    server = await startServer();
    home = makeHome();
    api = apiOf(server);
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    await home.must("crane", ["auth", "login", server.host, "-u", "admin", "-p", server.adminToken]);
    reference = await home.must("crane", ["push", image.layout, `${server.host}/${REPOSITORY}:v1.0.0`]);
    for (const name of ["ours", "theirs"]) {
      await home.must("cosign", ["generate-key-pair", "--output-key-prefix", name]);
    }
    const publicKeyPem = readFileSync(home.path("ours.pub"), "utf8");
    await api.trust("default", { name: "ours", publicKeyPem, repositories: ["**"] });
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
  });

  it("signs under a tag, which is evidence about the image", async () => {
    await home.must("cosign", ["sign", "--yes", "--key", "ours.key", ...OLD, reference]);
    const tag = `${image.digest.replace(":", "-")}.sig`;
    expect(await home.must("crane", ["ls", "--insecure", `${server.host}/${REPOSITORY}`])).toContain(tag);
    expect(await evidence()).toMatchObject([
      { form: "simple-signing", status: { status: "verified", by: { name: "ours" } } },
    ]);
    const verified = await home.run("cosign", [
      "verify",
      "--key",
      "ours.pub",
      "--new-bundle-format=false",
      "--insecure-ignore-tlog",
      "--allow-http-registry",
      reference,
    ]);
    expect(verified.code, verified.stderr).toBe(0);
  });

  it("signs again with another key: the tag moves, and what it had stays evidence", async () => {
    await home.must("cosign", ["sign", "--yes", "--key", "theirs.key", ...OLD, reference]);
    expect((await evidence()).map(({ status }) => status.status)).toEqual(["verified", "refused"]);
    await home.must("crane", [
      "delete",
      "--insecure",
      `${server.host}/${REPOSITORY}:${image.digest.replace(":", "-")}.sig`,
    ]);
    expect(await evidence()).toHaveLength(2);
  });

  it("attests under a tag, and the statement is evidence by its type", async () => {
    const predicate = {
      buildDefinition: { buildType: "https://example.com/build", externalParameters: {}, resolvedDependencies: [] },
      runDetails: { builder: { id: "https://example.com/builder" } },
    };
    writeFileSync(home.path("provenance.json"), JSON.stringify(predicate));
    const what = ["--type", "slsaprovenance1", "--predicate", "provenance.json"];
    await home.must("cosign", ["attest", "--yes", "--key", "ours.key", ...OLD, ...what, reference]);
    const attested = (await evidence()).find(({ predicateType }) => predicateType === PROVENANCE);
    expect(attested).toMatchObject({ form: "dsse", status: { status: "verified", by: { name: "ours" } } });
    const found = await api.call(
      "GET",
      `/orgs/default/evidence?field=${encodeURIComponent("builder.id=https://example.com/builder")}`,
    );
    expect(found).toMatchObject({ items: [{ evidence: attested?.evidence }] });
  });

  it("signs a file into a file, which is evidence once somebody says what it is about", async () => {
    writeFileSync(home.path("file.txt"), "a file\n");
    const out = ["--output-signature", "file.sig"];
    const old = OLD.filter((option) => option !== "--allow-http-registry");
    await home.must("cosign", ["sign-blob", "--yes", "--key", "ours.key", ...old, ...out, "file.txt"]);
    const form = new FormData();
    form.append("signature", new Blob([readFileSync(home.path("file.sig"))]), "file.sig");
    const digest = (await home.must("sha256sum", ["file.txt"])).split(" ")[0] ?? "";
    form.append("subject", `sha256:${digest}`);
    const answer = await fetch(`${server.url}/api/assay/v1/orgs/default/attestations`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.adminToken}` },
      body: form,
    });
    expect(answer.status, await answer.clone().text()).toBe(201);
    expect(await api.evidence("default", `sha256:${digest}`, REPOSITORY)).toMatchObject([
      { status: { status: "verified", by: { name: "ours" } } },
    ]);
  });

  it("attaches with oras, as an envelope and as lines, what is evidence then", async () => {
    const other = makeImage({ layout: home.path("other"), packages: ["yaml"], altered: true });
    const pushed = await home.must("crane", ["push", other.layout, `${server.host}/${REPOSITORY}:other`]);
    await home.must("oras", ["login", "--plain-http", server.host, "-u", "admin", "--password-stdin"], {
      input: server.adminToken,
    });
    const statement = ["attest-blob", "--yes", "--key", "ours.key", "--new-bundle-format=false"];
    const how = ["--use-signing-config=false", "--tlog-upload=false", "--type", "slsaprovenance1"];
    const about = ["--predicate", "provenance.json", "--hash", other.digest.slice("sha256:".length)];
    const ended = ["--output-signature", "envelope.json", "file.txt"];
    await home.must("cosign", [...statement, ...how, ...about, ...ended]);
    const attach = ["attach", "--plain-http", pushed];
    await home.must("oras", [
      ...attach,
      "--artifact-type",
      "application/vnd.dsse.envelope.v1+json",
      "envelope.json:application/vnd.dsse.envelope.v1+json",
    ]);
    const one = (await api.evidence("default", other.digest, REPOSITORY)) as Piece[];
    expect(one).toMatchObject([{ form: "dsse", predicateType: PROVENANCE, status: { status: "verified" } }]);
    const line = readFileSync(home.path("envelope.json"), "utf8").trim();
    writeFileSync(home.path("app.intoto.jsonl"), `${line}\nanother tool's line\n`);
    await home.must("oras", [
      ...attach,
      "--artifact-type",
      "application/vnd.in-toto.bundle",
      "app.intoto.jsonl:application/vnd.in-toto.bundle",
    ]);
    // The same signature in the same bytes, up to the line's end: one piece, or one more that is no younger.
    const both = (await api.evidence("default", other.digest, REPOSITORY)) as Piece[];
    expect(both.length).toBeLessThanOrEqual(2);
    expect(both.every(({ status }) => status.status === "verified")).toBe(true);
  });
});
