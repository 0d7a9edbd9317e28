import { randomBytes } from "node:crypto";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { generateKeyPair } from "@assay/evidence/node";
import { formatPublicKeyPem } from "@assay/evidence";
import { afterEach, expect, it, vi } from "vitest";
import { databasePath } from "../src/storage/sqlite.ts";
import { ADMIN_TOKEN, type Instance, startInstance } from "./instance.ts";
import { ADMIN_BASIC, pushImage } from "./pushing.ts";

/** Walks along a table's own key that stop at the first row. */
const FIRST_ROW = /from "event" order by "sequence" desc limit \?$/;

/** Tables that stay small whatever the server does. */
const SMALL = new Set(["log_state", "schema_migration", "key", "server_state", "bootstrap"]);

let instance: Instance | undefined;

afterEach(async () => {
  await instance?.stop();
});

it("finds an index for every query the server makes while it is used", async () => {
  const statements = new Set<string>();
  const prepare = Object.getOwnPropertyDescriptor(DatabaseSync.prototype, "prepare")?.value as (
    this: DatabaseSync,
    text: string,
  ) => StatementSync;
  vi.spyOn(DatabaseSync.prototype, "prepare").mockImplementation(function (this: DatabaseSync, text: string) {
    statements.add(text);
    return prepare.call(this, text);
  });
  instance = await startInstance();
  const { url } = instance;
  const image = await pushImage(url, "default/app", "1.0.0", randomBytes(100));
  const key = generateKeyPair("ecdsa-p256-sha256");
  const calls: [string, string, unknown?][] = [
    ["POST", "/api/assay/v1/orgs", { name: "acme" }],
    ["POST", "/api/assay/v1/people", { name: "alice" }],
    ["POST", "/api/assay/v1/people/alice/keys", { label: "laptop" }],
    ["GET", "/api/assay/v1/people/alice/keys"],
    ["GET", "/api/assay/v1/people"],
    ["PUT", "/api/assay/v1/orgs/acme/members/person/alice", { role: "admin" }],
    ["GET", "/api/assay/v1/orgs/acme/members"],
    ["POST", "/api/assay/v1/orgs/acme/service-accounts", { name: "ci" }],
    ["GET", "/api/assay/v1/orgs/acme/service-accounts"],
    ["GET", "/api/assay/v1/orgs"],
    [
      "POST",
      "/api/assay/v1/orgs/default/trust/entries",
      {
        name: "release",
        publicKeyPem: formatPublicKeyPem(key.publicKey),
        scope: { repositories: ["**"], predicateTypes: ["*"] },
      },
    ],
    ["GET", "/api/assay/v1/orgs/default/trust"],
    ["GET", "/api/assay/v1/orgs/default/trust?version=1"],
    ["GET", "/api/assay/v1/orgs/default/trust/versions"],
    [
      "POST",
      "/api/assay/v1/orgs/default/reports",
      { subject: image.manifest, predicateType: "https://example.com/r", predicate: {}, repository: "default/app" },
    ],
    ["GET", `/api/assay/v1/orgs/default/attestations/${image.manifest}`],
    ["GET", "/api/assay/v1/orgs/default/attestations?flow=a"],
    ["GET", "/api/assay/v1/orgs/default/attestations?flow=a&trail=b&name=c"],
    [
      "PUT",
      "/api/assay/v1/orgs/default/policies/p",
      {
        yaml: "version: 1\nname: p\nrules:\n  - id: a\n    evidence: { predicateType: 'https://example.com/r', identities: [release] }\n",
      },
    ],
    ["GET", "/api/assay/v1/orgs/default/policies"],
    ["GET", "/api/assay/v1/orgs/default/policies/p"],
    ["POST", "/api/assay/v1/decisions", { org: "default", digest: image.manifest, policy: { name: "p" } }],
    ["POST", "/api/assay/v1/decisions", { org: "default", digest: image.manifest, policy: { name: "p" } }],
    ["GET", "/api/assay/v1/orgs/default/decisions"],
    ["GET", "/api/assay/v1/orgs/default/record?limit=10"],
    ["GET", "/api/assay/v1/record/3/receipt"],
    ["GET", "/api/assay/v1/keys"],
  ];
  for (const [method, path, body] of calls) {
    const answer = await instance.api(method, path, body);
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
  }
  const scope = "repository:default/app:pull,push,delete";
  const token = (await (
    await fetch(`${url}/v2/token?service=${new URL(url).host}&scope=${encodeURIComponent(scope)}`, {
      headers: { authorization: ADMIN_BASIC },
    })
  ).json()) as { token: string };
  const bearer = { authorization: `Bearer ${token.token}` };
  for (const [method, path] of [
    ["GET", "/v2/default/app/manifests/1.0.0"],
    ["GET", `/v2/default/app/manifests/${image.manifest}`],
    ["HEAD", `/v2/default/app/blobs/${image.layer}`],
    ["GET", "/v2/default/app/tags/list?n=10"],
    ["GET", "/v2/default/app/tags/list?n=10&last=1"],
    ["GET", `/v2/default/app/referrers/${image.manifest}`],
    ["GET", `/v2/default/app/referrers/${image.manifest}?artifactType=a/b`],
    ["POST", `/v2/default/app/blobs/uploads/?mount=${image.layer}&from=default/app`],
    ["POST", "/v2/default/app/blobs/uploads/"],
    ["DELETE", "/v2/default/app/manifests/1.0.0"],
    ["DELETE", `/v2/default/app/manifests/${image.manifest}`],
  ] as const) {
    const answer = await fetch(`${url}${path}`, { method, headers: bearer });
    expect(answer.status, `${method} ${path}: ${await answer.text()}`).toBeLessThan(300);
  }
  await fetch(`${url}/v2/_catalog?n=10`, { headers: { authorization: `Bearer ${ADMIN_TOKEN}` } });

  const raw = new DatabaseSync(databasePath(instance.dataDirectory), { readOnly: true });
  const scans: string[] = [];
  let explained = 0;
  for (const text of statements) {
    if (!/^\s*(select|with|update|delete|insert)\b/i.test(text)) continue;
    explained += 1;
    const parameters = (text.match(/\?/g) ?? []).map(() => null);
    const plan = raw.prepare(`explain query plan ${text}`).all(...parameters);
    for (const step of plan) {
      if (FIRST_ROW.test(text)) continue;
      const detail = String(step["detail"]);
      const table = /^SCAN (\w+)/.exec(detail)?.[1];
      if (table !== undefined && !SMALL.has(table) && !/USING (COVERING )?INDEX/.test(detail))
        scans.push(`${detail}: ${text}`);
    }
  }
  raw.close();
  expect(explained).toBeGreaterThan(60);
  expect(scans).toEqual([]);
});
