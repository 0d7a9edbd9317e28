/** One piece of evidence, explained by its own digest: what the list about the artifact says of it, and how that was found out. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { artifact, attest, type Item, makeKey, openRoom, provenance, type Room } from "./evidence-room.ts";

const REVIEW = "https://example.com/review/v1";

let room: Room;
const key = makeKey();

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, {
    name: "release",
    scope: { repositories: ["acme/app"], predicateTypes: ["*"] },
    primary: true,
  });
});
afterAll(() => room.stop());

interface Explained {
  readonly subjects: readonly string[];
  readonly judged?: {
    readonly repository: string | null;
    readonly trust: { readonly org: string; readonly version: number };
    readonly items: readonly (Item & { readonly subject: string })[];
    readonly more: boolean;
  };
}

async function explained(evidence: string, query: string, token?: string): Promise<Explained> {
  const { status, body } = await room.call("GET", `/orgs/acme/evidence/${evidence}${query}`, undefined, token);
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body as unknown as Explained;
}

it("says what the list about the artifact says, word for word", async () => {
  const subject = artifact("explained");
  const { body: posted } = await room.post("acme", await provenance(key, subject, "1"), "app");
  for (const place of ["repository=app", "repository=lib"]) {
    const list = await room.call("GET", `/orgs/acme/attestations/${subject}?${place}&explain=true`);
    const { judged } = await explained(posted.evidence, `?${place}&explain=true`);
    expect(judged?.items).toEqual(list.body.items.map((item) => ({ ...item, subject })));
    expect(judged).toMatchObject({ trust: { org: "acme" }, more: false });
  }
  const inPlace = await explained(posted.evidence, "?repository=app&explain=true");
  expect(inPlace.judged).toMatchObject({
    repository: "acme/app",
    items: [
      {
        primary: true,
        status: { status: "verified", by: { name: "release" }, steps: [{ check: "form" }, {}, {}, {}, {}] },
      },
    ],
  });
  const nowhere = await explained(posted.evidence, "?explain=true");
  expect(nowhere.judged).toMatchObject({
    repository: null,
    items: [{ primary: false, status: { status: "refused" } }],
  });
});

it("judges nothing unless it is asked", async () => {
  const { body: posted } = await room.post("acme", await attest(key, artifact("only claimed"), REVIEW), "app");
  expect(await explained(posted.evidence, "")).not.toHaveProperty("judged");
  expect(await explained(posted.evidence, "?explain=false&repository=app")).not.toHaveProperty("judged");
});

it("judges a piece about many artifacts about the first of them, and says that there are more", async () => {
  const subjects = Array.from({ length: 12 }, (_, count) => artifact(`one of many ${count}`));
  const { body: posted } = await room.post("acme", await attest(key, subjects, REVIEW), "app");
  const { judged } = await explained(posted.evidence, "?repository=app&explain=true");
  expect(judged?.items.map(({ subject }) => subject)).toEqual(subjects.toSorted().slice(0, 10));
  expect(judged?.items.every(({ status }) => status.status === "verified")).toBe(true);
  expect(judged?.more).toBe(true);
});

it("tells who may see one repository nothing of where else a piece was given", async () => {
  const bundle = await attest(key, artifact("given twice"), REVIEW);
  const { body: posted } = await room.post("acme", bundle, "app");
  await room.post("acme", bundle, "closed");
  const someone = await room.person("sam", "rival", "reader");
  const granted = { repository: "acme/app", role: "reader" };
  expect((await room.call("PUT", "/orgs/acme/repository-roles/person/sam", granted)).status).toBeLessThan(300);
  const { judged } = await explained(posted.evidence, "?explain=true", someone.token);
  expect(judged?.items).toMatchObject([{ repositories: ["acme/app"] }]);
});

it.each([
  ["?explain=perhaps", "400 request-invalid"],
  ["?explain=true&repository=rival/app", "400 repository-invalid"],
  ["?explain=true&repository=", "400 request-invalid"],
])("refuses %s", async (query, refusal) => {
  const { body: posted } = await room.post("acme", await attest(key, artifact(`refused ${query}`), REVIEW), "app");
  expect(await room.refusal("GET", `/orgs/acme/evidence/${posted.evidence}${query}`)).toBe(refusal);
});
