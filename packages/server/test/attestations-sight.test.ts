/** What somebody with roles in some repositories only learns of the rest: nothing, also not by what a list leaves out. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ADMIN } from "./core.ts";
import { artifact, attest, makeKey, openRoom, provenance, type Room, SIGNED } from "./evidence-room.ts";

const key = makeKey();
const hidden = artifact("hidden");
const nowhere = artifact("nowhere");
let room: Room;
let token: string;

beforeAll(async () => {
  room = await openRoom();
  ({ token } = await room.person("eve", "rival", "reader"));
  const granted = await room.instance.record.append({
    type: "access.grant-repository-role",
    org: "acme",
    actor: ADMIN,
    body: { principal: "person:eve", repository: "acme/pub", role: "reader" },
  });
  expect(granted.ok).toBe(true);
  for (const run of ["1", "2", "3"]) await room.post("acme", await provenance(key, hidden, run), "secret");
  for (const step of ["a", "b", "c"]) {
    const predicate = { flow: "release", name: step };
    await room.post("acme", await attest(key, hidden, "https://assay.dev/step/v1", predicate), "secret");
  }
});

afterAll(async () => {
  await room.stop();
});

/** An answer without what the question itself put into it, and its Link header. */
async function asked(path: string): Promise<string> {
  const answer = await fetch(`${room.instance.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  const text = (await answer.text()).replaceAll(hidden, "D").replaceAll(nowhere, "D");
  return JSON.stringify([text, answer.headers.get("link"), answer.headers.get("assay-left-out")]);
}

test("lists end the same whether there is hidden evidence or none", async () => {
  const api = "/api/assay/v1/orgs/acme";
  const builder = (id: string) => `${api}/evidence?limit=1&field=${encodeURIComponent(`builder.id=${id}`)}`;
  expect(await asked(`${api}/attestations/${hidden}?limit=1`)).toBe(
    await asked(`${api}/attestations/${nowhere}?limit=1`),
  );
  expect(await asked(`${api}/evidence?limit=1&subject=${hidden}`)).toBe(
    await asked(`${api}/evidence?limit=1&subject=${nowhere}`),
  );
  expect(await asked(builder("https://ci.example.com/builder"))).toBe(await asked(builder("https://nobody.example")));
  expect(await asked(`${api}/attestations?limit=1&flow=release`)).toBe(
    await asked(`${api}/attestations?limit=1&flow=no`),
  );
  expect(await asked(`/orgs/acme/attestations/${hidden}?per_page=1`)).toBe(
    await asked(`/orgs/acme/attestations/${nowhere}?per_page=1`),
  );
});

test("what one may see is found behind what one may not, page by page, both ways", async () => {
  const mine: string[] = [];
  for (const run of ["4", "5"]) {
    const posted = await room.post("acme", await provenance(key, hidden, run), "pub");
    mine.push(posted.body.evidence);
    for (const other of ["x", "y"]) await room.post("acme", await provenance(key, hidden, `${run}${other}`), "secret");
  }
  const api = `/orgs/acme/attestations/${hidden}?limit=1`;
  const first = (await room.call("GET", api, undefined, token)).body;
  const second = (await room.call("GET", `${api}&cursor=${first.next}`, undefined, token)).body;
  expect([first.items, second.items].flat().map(({ evidence }) => evidence)).toEqual(mine);
  expect(second.next).toBeNull();

  const page = async (url: string): Promise<{ attestations: unknown[]; links: Record<string, string | undefined> }> => {
    const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    const { attestations } = (await answer.json()) as { attestations: unknown[] };
    const links: Record<string, string | undefined> = {};
    for (const [, to, rel] of (answer.headers.get("link") ?? "").matchAll(/<([^>]+)>; rel="(\w+)"/g))
      links[rel ?? ""] = to;
    return { attestations, links };
  };
  const newest = await page(`${room.instance.url}/orgs/acme/attestations/${hidden}?per_page=1`);
  const oldest = await page(newest.links["next"] ?? "");
  expect(newest.attestations).toHaveLength(1);
  expect(oldest.attestations).toHaveLength(1);
  expect(oldest.links["next"]).toBeUndefined();
  expect((await page(oldest.links["prev"] ?? "")).attestations).toEqual(newest.attestations);

  const file = `${room.instance.url}/api/assay/v1/orgs/acme/artifacts/${hidden}/app.sigstore.json`;
  expect((await fetch(file, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
});

test("a request target that is a whole URL of another host is answered, and its host is not repeated", async () => {
  const { request } = await import("node:http");
  const { hostname, port } = new URL(room.instance.url);
  await room.post("acme", await attest(key, hidden, SIGNED), "secret");
  const link = await new Promise<string>((resolve, reject) => {
    const path = `http://evil.example/orgs/acme/attestations/${hidden}?per_page=1`;
    const headers = { authorization: `Bearer ${room.instance.adminToken}` };
    request({ hostname, port, path, headers }, (answer) => {
      answer.resume().on("end", () => resolve(`${String(answer.statusCode)} ${String(answer.headers["link"])}`));
    })
      .on("error", reject)
      .end();
  });
  expect(link).toMatch(/^200 <http:\/\/127\.0\.0\.1:\d+\/orgs\/acme\//);
});
