/** Everything that moves, deletes, brings back and renames, at once on one repository: a tag that never moves names one digest through all of it. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RegistryTables } from "../src/registry/schema.ts";
import { openRoom, replayDifferences, type Room } from "./evidence-room.ts";
import { pushImage } from "./pushing.ts";

/** What one run does at a time, and how often in all. */
const HANDS = 6;
const DEEDS = 240;
/** And at most so much oftener, until each deed was done once. */
const MORE = 4_000;

const NAMES = ["aaa", "bbb"] as const;
const TAGS = ["1.0.0", "stable"] as const;
const IMAGES = ["one", "two", "three", "four"] as const;

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room.stop());

/** Numbers that look random and are the same in every run. */
function* numbers(seed: string): Generator<number, never> {
  for (let at = 0; ; at += 1) yield createHash("sha256").update(`${seed} ${at}`).digest().readUInt32BE();
}

it("a tag that never moves names one digest, whatever races for it", { timeout: 180_000 }, async () => {
  await pushImage(room.instance.url, "acme/aaa", "first", Buffer.from("first"));
  const settings = await room.call("PATCH", "/orgs/acme/repositories/aaa", { immutableTags: ["stable"] });
  expect(settings.status).toBe(200);
  // From here on one repository has the two names in turn, and the other name is kept from everybody.
  expect((await room.call("POST", "/orgs/acme/repositories/aaa/rename", { to: "bbb" })).status).toBe(200);

  const answers = new Map<string, number>();
  const told = (deed: string, status: number): void => {
    const name = `${deed} ${status < 300 ? "done" : "refused"}`;
    answers.set(name, (answers.get(name) ?? 0) + 1);
    expect(status, deed).toBeLessThan(500);
  };
  const deeds: Readonly<Record<string, (pick: <T>(of: readonly [T, ...T[]]) => T) => Promise<number>>> = {
    push: async (pick) => {
      const pushed = pushImage(room.instance.url, `acme/${pick(NAMES)}`, pick(TAGS), Buffer.from(pick(IMAGES)));
      return await pushed.then(
        () => 201,
        (error: unknown) => Number(/: (\d{3}) /.exec(String(error))?.[1] ?? 599),
      );
    },
    "delete a tag": async (pick) =>
      (await room.call("POST", `/orgs/acme/repositories/${pick(NAMES)}/deletions`, { tag: pick(TAGS) })).status,
    "delete a manifest": async (pick) => {
      const tag = await resolve(`acme/${pick(NAMES)}`, pick(TAGS));
      if (tag === undefined) return 404;
      return (await room.call("POST", `/orgs/acme/repositories/${pick(NAMES)}/deletions`, { digest: tag })).status;
    },
    "delete the repository": async (pick) => {
      const body = { whole: true, reason: "to see it come back" };
      return (await room.call("POST", `/orgs/acme/repositories/${pick(NAMES)}/deletions`, body)).status;
    },
    restore: async (pick) => {
      const { items } = (await room.call("GET", "/orgs/acme/deletions")).body;
      const [first, ...others] = items as unknown as readonly { readonly sequence: number }[];
      if (first === undefined) return 404;
      const { sequence } = pick([first, ...others.slice(0, 4)]);
      return (await room.call("POST", `/orgs/acme/deletions/${sequence}/restore`)).status;
    },
    rename: async (pick) => {
      const from = pick(NAMES);
      const to = from === "aaa" ? "bbb" : "aaa";
      return (await room.call("POST", `/orgs/acme/repositories/${from}/rename`, { to })).status;
    },
  };
  const pool = ["push", "push", "push", "delete a tag", "delete a manifest", "delete the repository", "restore"];
  const order = [...pool, "restore", "restore", "rename"] as unknown as readonly [string, ...string[]];
  let left = DEEDS;
  /** Whether something has only been refused so far: in which order hands come, and so what there is to do, differs from run to run. */
  const undone = (): boolean => Object.keys(deeds).some((deed) => !answers.has(`${deed} done`));
  const hand = async (number: number): Promise<void> => {
    const random = numbers(`hand ${number}`);
    const pick = <T>(of: readonly [T, ...T[]]): T => of[random.next().value % of.length] ?? of[0];
    while (left > 0 || (left > -MORE && undone())) {
      left -= 1;
      const deed = pick(order);
      const act = deeds[deed];
      if (act !== undefined) told(deed, await act(pick));
    }
  };
  await Promise.all(Array.from({ length: HANDS }, (_, number) => hand(number)));

  // All of it happened, and not only refusals.
  for (const deed of Object.keys(deeds)) expect(answers.get(`${deed} done`) ?? 0, deed).toBeGreaterThan(0);
  for (const tag of TAGS) {
    const rows = await room.instance.reader
      .tables<RegistryTables>()
      .selectFrom("tag")
      .select("digest")
      .distinct()
      .where("org", "=", "acme")
      .where("name", "=", tag)
      .execute();
    expect(rows, tag).toHaveLength(1);
  }
  expect(await replayDifferences(room.instance)).toEqual([]);
});

async function resolve(repository: string, tag: string): Promise<string | undefined> {
  const answer = await fetch(`${room.instance.url}/v2/${repository}/manifests/${tag}`, {
    method: "HEAD",
    headers: { authorization: `Bearer ${room.instance.adminToken}` },
  });
  return answer.headers.get("docker-content-digest") ?? undefined;
}
