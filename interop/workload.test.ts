/** A CI's identity token, exchanged, as the password that unmodified clients log in with. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { githubClaims, type OutsideIssuer, startIssuer } from "../packages/server/test/outside-issuer.ts";
import { apiOf } from "./api.ts";
import { type Home, makeHome, type Server, startServer } from "./harness.ts";
import { type Image, makeImage } from "./image.ts";

describe("a job's token", () => {
  let issuer: OutsideIssuer;
  let server: Server;
  let home: Home;
  let image: Image;
  let token: string;

  beforeAll(async () => {
    issuer = await startIssuer();
    server = await startServer({ env: { ASSAY_OIDC_ISSUERS: issuer.url, ASSAY_EGRESS_PRIVATE: issuer.host } });
    home = makeHome();
    image = makeImage({ layout: home.path("image"), packages: ["yaml"] });
    const api = apiOf(server);
    await api.call("POST", "/orgs/default/service-accounts", { name: "ci" });
    await api.call("PUT", "/orgs/default/members/service/ci", { role: "member" });
    await api.call("PUT", "/orgs/default/workload-identities/release", {
      issuer: issuer.url,
      audience: server.url,
      conditions: [{ claim: "repository_id", value: "2002" }],
      serviceAccount: "ci",
      repositories: ["default/app"],
    });
    const answer = await fetch(`${server.url}/api/assay/v1/token/exchange`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
        subject_token: await issuer.token(githubClaims(server.url)),
        audience: "default/release",
      }),
    });
    expect(answer.status).toBe(200);
    token = ((await answer.json()) as { access_token: string }).access_token;
  });

  afterAll(async () => {
    home.remove();
    await server.stop();
    await issuer.stop();
  });

  it("logs crane in, which pushes to the identity's repository and to no other", async () => {
    await home.must("crane", ["auth", "login", server.host, "-u", "oidc", "-p", token]);
    await home.must("crane", ["push", image.layout, `${server.host}/default/app:latest`]);
    expect(await home.must("crane", ["digest", `${server.host}/default/app:latest`])).toBe(image.digest);
    expect((await home.run("crane", ["push", image.layout, `${server.host}/default/other:latest`])).code).not.toBe(0);
    expect((await home.must("crane", ["catalog", server.host])).trim()).toBe("default/app");
  });

  it("logs oras in by standard input, which pushes files and pulls the same bytes", async () => {
    const login = ["login", "--plain-http", server.host, "-u", "oidc", "--password-stdin"];
    await home.must("oras", login, { input: token });
    writeFileSync(home.path("one.txt"), "one\n");
    const target = `${server.host}/default/app:1.0.0`;
    const kind = ["--artifact-type", "application/vnd.example.files"];
    await home.must("oras", ["push", "--plain-http", target, ...kind, "one.txt"]);
    await home.must("oras", ["pull", "--plain-http", "-o", "out", target]);
    expect(readFileSync(home.path("out", "one.txt"), "utf8")).toBe("one\n");
  });

  it("beside a robot's key, which crane pulls with and cannot push with: it is bound to pulls of one repository", async () => {
    const made = (await apiOf(server).call("POST", "/orgs/default/service-accounts/ci/keys", {
      label: "puller",
      expiresInDays: 1,
      scope: { repositories: ["default/app"], actions: ["pull"] },
    })) as { key: string };
    const robot = makeHome();
    try {
      await robot.must("crane", ["auth", "login", server.host, "-u", "robot", "-p", made.key]);
      expect(await robot.must("crane", ["digest", `${server.host}/default/app:latest`])).toBe(image.digest);
      expect((await robot.run("crane", ["push", image.layout, `${server.host}/default/app:other`])).code).not.toBe(0);
      expect((await robot.run("crane", ["digest", `${server.host}/default/other:latest`])).code).not.toBe(0);
    } finally {
      robot.remove();
    }
  });

  it("is no longer a password once the identity is removed", async () => {
    await apiOf(server).call("DELETE", "/orgs/default/workload-identities/release");
    const stranger = makeHome();
    try {
      const login = ["login", "--plain-http", server.host, "-u", "oidc", "--password-stdin"];
      expect((await stranger.run("oras", login, { input: token })).code).not.toBe(0);
    } finally {
      stranger.remove();
    }
    expect((await home.run("crane", ["digest", `${server.host}/default/app:latest`])).code).not.toBe(0);
  });
});
