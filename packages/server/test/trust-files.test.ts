/** Trust files that hold what could not have been added here. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeKey, openRoom, type Room } from "./evidence-room.ts";

type File = Readonly<Record<string, unknown>> & { readonly entries: readonly Readonly<Record<string, unknown>>[] };

let room: Room;
let file: File;

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", makeKey());
  file = (await room.call("GET", "/orgs/acme/trust")).body as unknown as File;
});

afterAll(async () => {
  await room.stop();
});

const anything = ["*"];

test.each([
  ["a name that is an entry's id", { name: "entry-7" }],
  ["a name that is a key's id", { name: `sha256:${"a".repeat(64)}` }],
  ["a name with what nobody can see", { name: "rel\u202Eease" }],
  ["no name", { name: "" }],
  ["a window that never holds", { validFrom: 5, validUntil: 1 }],
  ["a moment after the end of time", { validFrom: 8.64e15 + 2 }],
  ["a pattern that is no repository's", { scope: { repositories: ["Acme/App"], predicateTypes: anything } }],
  ["a pattern twice", { scope: { repositories: ["acme/a", "acme/a"], predicateTypes: anything } }],
  ["a type that is no URI", { scope: { repositories: ["**"], predicateTypes: ["a b"] } }],
  [
    "more patterns than an entry has",
    { scope: { repositories: Array.from({ length: 101 }, (_, index) => `acme/a${index}`), predicateTypes: anything } },
  ],
])("are refused with %s, by the import and by its preview, and trust stays readable", async (_what, change) => {
  const sent = { ...file, entries: [{ ...file.entries[0], ...change }] };
  expect(await room.refusal("PUT", "/orgs/acme/trust?base=1", sent)).toBe("400 trust-invalid");
  expect(await room.refusal("POST", "/orgs/acme/trust/preview", { file: sent })).toBe("400 trust-invalid");
  const now = await room.call("GET", "/orgs/acme/trust");
  expect([now.status, now.body.version]).toEqual([200, 1]);
});

test("are refused with more entries than an organisation has", async () => {
  const entries = Array.from({ length: 1_001 }, (_, index) => ({ ...file.entries[0], id: `e${index}` }));
  expect(await room.refusal("PUT", "/orgs/acme/trust?base=1", { ...file, entries })).toBe("400 trust-full");
  expect(await room.refusal("POST", "/orgs/acme/trust/preview", { file: { ...file, entries } })).toBe("400 trust-full");
});

test("a command past the door is held to the same", async () => {
  const entries = [{ ...file.entries[0], name: "entry-7" }];
  const { ADMIN } = await import("./core.ts");
  const body = { base: 1, cause: "imported", of: null, entries, roots: [] } as never;
  const appended = await room.instance.record.append({ type: "trust.replace", org: "acme", actor: ADMIN, body });
  expect(appended.ok ? "accepted" : appended.refusal.code).toBe("trust-invalid");
});
