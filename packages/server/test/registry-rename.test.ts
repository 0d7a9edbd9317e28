/** A repository gets another name: what goes along, what stays with the name, and who may have the former one. */
import { randomBytes } from "node:crypto";
import { parseDigest } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { primaryOf } from "../src/attestations/queries.ts";
import { makeKey, openRoom, provenance, replayDifferences, type Room } from "./evidence-room.ts";
import { pushImage } from "./pushing.ts";

const POLICY =
  "version: 1\nname: p\nrules:\n  - id: signed\n    evidence:\n      predicateType: https://sigstore.dev/cosign/sign/v1\n      identities: [builder]\n";

let room: Room;
/** Admin of acme; admin of acme/old alone; admin elsewhere. */
let alice: string;
let rob: string;
let zoe: string;
const builder = makeKey();

const rename = (name: string, to: string, token = alice) =>
  room.call("POST", `/orgs/acme/repositories/${name}/rename`, { to }, token);
const refused = (name: string, to: string, token = alice) =>
  room.refusal("POST", `/orgs/acme/repositories/${name}/rename`, { to }, token);

async function registry(method: string, path: string, token = room.instance.adminToken): Promise<Response> {
  return await fetch(`${room.instance.url}/v2/${path}`, { method, headers: { authorization: `Bearer ${token}` } });
}

const push = (repository: string, tag: string) => pushImage(room.instance.url, repository, tag, randomBytes(32));

beforeAll(async () => {
  room = await openRoom();
  alice = (await room.person("alice", "acme", "admin")).token;
  zoe = (await room.person("zoe", "rival", "admin")).token;
  rob = (await room.person("rob", "rival", "reader")).token;
  await room.call("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/old", role: "admin" });
  await room.trust("acme", builder, {
    name: "builder",
    primary: true,
    scope: { repositories: ["acme/**"], predicateTypes: ["*"] },
  });
});
afterAll(() => room.stop());

describe("a repository that gets another name", () => {
  it("takes everything along: tags, manifests, blobs, settings, evidence, primary provenance, and what was deleted", async () => {
    const image = await push("acme/old", "1.0.0");
    const gone = await push("acme/old", "0.9.0");
    await room.call("PATCH", "/orgs/acme/repositories/old", { description: "the first", immutableTags: ["stable"] });
    const subject = parseDigest(image.manifest);
    await room.post("acme", await provenance(builder, subject, "1"), "old");
    expect((await registry("DELETE", `acme/old/manifests/${gone.manifest}`)).status).toBe(202);

    expect((await rename("old", "new")).body).toMatchObject({ name: "acme/new", description: "the first" });

    for (const path of ["tags/list", "manifests/1.0.0", `manifests/${image.manifest}`, `blobs/${image.layer}`]) {
      expect((await registry("GET", `acme/new/${path}`)).status, path).toBe(200);
      expect((await registry("GET", `acme/old/${path}`)).status, path).toBe(404);
    }
    expect(await primaryOf(room.instance.reader, "acme", "acme/new", [subject])).toHaveLength(1);
    const other = await room.post("acme", await provenance(builder, subject, "2"), "new");
    expect([other.status, other.body.error.code]).toEqual([409, "primary-provenance-exists"]);
    const { items } = (await room.call("GET", "/orgs/acme/deletions?repository=new")).body;
    const [deletion] = items as unknown as { sequence: number }[];
    expect((await room.call("POST", `/orgs/acme/deletions/${deletion?.sequence ?? 0}/restore`)).status).toBe(200);
    const back = await registry("GET", "acme/new/manifests/0.9.0");
    expect(back.headers.get("docker-content-digest")).toBe(gone.manifest);
  });

  it("keeps a release's digest under the new name, also of one that was deleted before", async () => {
    const image = await push("acme/releases", "1.0.0");
    expect((await registry("DELETE", "acme/releases/manifests/1.0.0")).status).toBe(202);
    await rename("releases", "released");
    await expect(push("acme/released", "1.0.0")).rejects.toThrow(image.manifest);
    await rename("released", "releases");
    await expect(push("acme/releases", "1.0.0")).rejects.toThrow(image.manifest);
  });

  it("leaves its former name taken: nothing is pushed there, and an admin who makes it anew moves no release", async () => {
    const image = await push("acme/shop", "1.0.0");
    await rename("shop", "store");
    await expect(push("acme/shop", "2.0.0")).rejects.toThrow(/was renamed, and its name is kept/);
    await push("acme/stranger", "1.0.0");
    expect(await refused("stranger", "shop")).toBe("403 repository-name-held");
    expect((await room.call("POST", "/orgs/acme/repositories", { name: "shop" }, alice)).status).toBe(201);
    await expect(push("acme/shop", "1.0.0")).rejects.toThrow(image.manifest);
    await push("acme/shop", "2.0.0");
  });

  it("leaves no pull gate by it, and is no mirror under another name", async () => {
    await push("acme/gated", "1.0.0");
    await room.call("PUT", "/orgs/acme/policies/p", { yaml: POLICY });
    await room.call("PUT", "/orgs/acme/pull-gates", { repository: "acme/gated", policy: "p" });
    expect(await refused("gated", "free")).toBe("409 repository-gated");
    await room.call("PUT", "/orgs/acme/pull-gates", { repository: "acme/fr*", policy: "p" });
    expect((await rename("gated", "free")).status).toBe(200);
    const mirror = { repository: "acme/mirrored", url: "https://registry.invalid/x" };
    expect((await room.call("PUT", "/orgs/acme/mirror", mirror)).status).toBe(200);
    await push("acme/plain", "1.0.0");
    expect(await refused("plain", "mirrored")).toBe("409 repository-mirrors");
  });

  it("may go back to a name it had, and to no name that is another's", async () => {
    await push("acme/one", "1.0.0");
    await push("acme/two", "1.0.0");
    expect(await refused("one", "two")).toBe("409 repository-exists");
    await rename("one", "eins");
    await rename("eins", "uno");
    expect((await rename("uno", "one")).status).toBe(200);
    expect((await registry("GET", "acme/one/manifests/1.0.0")).status).toBe(200);
    expect(await refused("one", "one")).toBe("409 repository-exists");
  });

  it("is refused where evidence was given to the new name as to another artifact's home", async () => {
    const image = await push("acme/made", "1.0.0");
    const subject = parseDigest(image.manifest);
    await room.post("acme", await provenance(builder, subject, "1"), "made");
    await room.post("acme", await provenance(builder, subject, "2"), "elsewhere");
    expect(await refused("made", "elsewhere")).toBe("409 primary-provenance-exists");
    expect((await registry("GET", "acme/made/manifests/1.0.0")).status).toBe(200);
  });
});

describe("what speaks of names", () => {
  it("stays with them: a role for the old name gives nothing under the new one", async () => {
    await push("acme/roles", "1.0.0");
    await room.call("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/roles", role: "admin" });
    expect((await registry("GET", "acme/roles/manifests/1.0.0", rob)).status).toBe(200);
    await rename("roles", "renamed-roles");
    expect((await registry("GET", "acme/renamed-roles/manifests/1.0.0", rob)).status).toBe(404);
    expect((await registry("GET", "acme/roles/manifests/1.0.0", rob)).status).toBe(404);
  });

  it("is why only admins of the organisation rename; another's is as one that is not there", async () => {
    await push("acme/mine", "1.0.0");
    await room.call("PUT", "/orgs/acme/repository-roles/person/rob", { repository: "acme/mine", role: "admin" });
    expect(await refused("mine", "yours", rob)).toBe("404 org-unknown");
    expect(await refused("mine", "yours", zoe)).toBe("404 org-unknown");
    expect(await refused("none", "yours")).toBe("404 repository-unknown");
    expect(await refused("mine", "No Name")).toBe("400 repository-invalid");
  });
});

it("a replay of the record gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
