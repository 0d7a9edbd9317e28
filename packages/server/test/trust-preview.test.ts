/** What a change of trust would change, over everything that is stored, before it is made. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { newestSequence } from "../src/record/newest.ts";
import { artifact, attest, makeKey, openRoom, type Room } from "./evidence-room.ts";

let room: Room;

beforeAll(async () => {
  room = await openRoom();
});
afterAll(() => room.stop());

interface Worth {
  readonly status: string;
  readonly code: string | null;
  readonly by: string | null;
}

interface Preview {
  readonly base: number;
  readonly stage: string;
  readonly examined: number;
  readonly evidence: readonly {
    readonly subject: string;
    readonly repository: string | null;
    readonly before: Worth;
    readonly after: Worth;
  }[];
  readonly decisions: readonly {
    readonly subject: string;
    readonly policy: string;
    readonly before: string;
    readonly after: string;
  }[];
  readonly next: string | null;
}

/** Walks to the end, as a client does. */
async function preview(org: string, asked: object, token?: string): Promise<Preview[]> {
  const steps: Preview[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const { status, body } = await room.call(
      "POST",
      `/orgs/${org}/trust/preview`,
      { ...asked, ...(cursor === undefined ? {} : { cursor }) },
      token,
    );
    expect(status, JSON.stringify(body)).toBe(200);
    const step = body as unknown as Preview;
    steps.push(step);
    cursor = step.next;
  }
  return steps;
}

const POLICY = `version: 1
name: release
rules:
  - id: signed
    evidence: { predicateType: "https://example.com/review/v1", identities: [release] }
`;
const REVIEW = "https://example.com/review/v1";

it("names each piece and each decision that would change, and nothing else", async () => {
  const [leaving, staying, coming] = [makeKey(), makeKey(), makeKey()];
  const { entry } = await room.trust("acme", leaving, { name: "release" });
  await room.trust("acme", staying, { name: "steady" });
  const [one, two, three] = [artifact("one"), artifact("two"), artifact("three")];
  await room.post("acme", await attest(leaving, one, REVIEW), "acme/app");
  await room.post("acme", await attest(staying, two, REVIEW), "acme/app");
  // Signed by somebody nobody knows yet.
  await room.post("acme", await attest(coming, three, REVIEW), "acme/app");
  await room.call("PUT", "/orgs/acme/policies/release", { yaml: POLICY });
  for (const digest of [one, two]) {
    await room.call("POST", "/decisions", { org: "acme", digest, repository: "acme/app", policy: { name: "release" } });
  }

  const { body: file } = await room.call("GET", "/orgs/acme/trust");
  const other = await room.trust("rival", coming, { name: "newcomer" });
  const proposed = {
    ...file,
    entries: [...file.entries.filter(({ id }) => id !== entry.id), { ...other.entry, id: "entry-1" }],
  };
  const before = await newestSequence(room.instance.reader);
  const steps = await preview("acme", { file: proposed });
  expect(await newestSequence(room.instance.reader)).toBe(before);

  expect(steps.flatMap(({ evidence }) => evidence)).toMatchObject([
    {
      subject: one,
      repository: "acme/app",
      before: { status: "verified", by: "release" },
      after: { status: "refused", code: "unknown-signer" },
    },
    {
      subject: three,
      before: { status: "refused", code: "unknown-signer" },
      after: { status: "verified", by: "newcomer" },
    },
  ]);
  expect(steps.flatMap(({ decisions }) => decisions)).toMatchObject([
    { subject: one, policy: "release", before: "allowed", after: "denied" },
  ]);

  // What was foreseen is what comes.
  const [first] = steps;
  expect((await room.call("PUT", `/orgs/acme/trust?base=${first?.base}`, proposed)).status).toBe(200);
  const { body: decided } = await room.call("POST", "/decisions", {
    org: "acme",
    digest: one,
    repository: "acme/app",
    policy: { name: "release" },
  });
  expect(decided.decision.result).toBe("denied");
});

it("of a rollback names what would come back", async () => {
  const key = makeKey();
  await room.trust("rival", key, { name: "passing" });
  const { body: was } = await room.call("GET", "/orgs/rival/trust");
  const subject = artifact("passing");
  await room.post("rival", await attest(key, subject, REVIEW));
  const gone = was.entries.find(({ name }) => name === "passing");
  await room.call("DELETE", `/orgs/rival/trust/entries/${gone?.id}`);
  const steps = await preview("rival", { version: was.version });
  expect(steps.flatMap(({ evidence }) => evidence)).toMatchObject([
    { subject, before: { status: "refused" }, after: { status: "verified", by: "passing" } },
  ]);
});

it("walks past one step's work, and looks at everything once", async () => {
  const key = makeKey();
  for (let count = 0; count < 210; count += 1)
    await room.post("acme", await attest(key, artifact(`many ${count}`), REVIEW));
  const { body: file } = await room.call("GET", "/orgs/acme/trust");
  const { entry } = await room.trust("rival", key, { name: "many" });
  const steps = await preview("acme", { file: { ...file, entries: [...file.entries, { ...entry, id: "entry-1" }] } });
  expect(steps.filter(({ stage }) => stage === "evidence").length).toBeGreaterThan(1);
  expect(steps.flatMap(({ evidence }) => evidence)).toHaveLength(210);
});

it.each<[string, unknown, string]>([
  ["neither file nor version", {}, "400 request-invalid"],
  ["both", { file: {}, version: 0 }, "400 request-invalid"],
  ["a version that is not there", { version: 999 }, "404 trust-version-unknown"],
  ["a file that is none", { file: { entries: [] } }, "400 trust-invalid"],
  ["a cursor of another list", { version: 0, cursor: "all.WzEsMSwtMV0" }, "400 cursor-invalid"],
  ["a cursor that is none", { version: 0, cursor: "evidence.x" }, "400 cursor-invalid"],
])("with %s is refused", async (_, body, refusal) => {
  expect(await room.refusal("POST", "/orgs/acme/trust/preview", body)).toBe(refusal);
});

it("is for those who may read trust and evidence, and for nobody else's", async () => {
  const { token } = await room.person("paul", "rival", "reader");
  expect((await preview("rival", { version: 0 }, token)).length).toBeGreaterThan(0);
  expect(await room.refusal("POST", "/orgs/acme/trust/preview", { version: 0 }, token)).toBe("404 org-unknown");
});

it("is one step at a time for each who asks", async () => {
  await room.trust("acme", makeKey(), { name: "slow" });
  const file = (await room.call("GET", "/orgs/acme/trust")).body;
  const ask = async (token?: string) => (await room.call("POST", "/orgs/acme/trust/preview", { file }, token)).status;
  const other = await room.person("other", "acme", "reader");
  const answers = await Promise.all([ask(), ask(), ask(), ask(other.token)]);
  expect(answers.filter((status) => status === 429)).not.toEqual([]);
  expect(answers[3]).toBe(200);
  expect(await ask()).toBe(200);
});
