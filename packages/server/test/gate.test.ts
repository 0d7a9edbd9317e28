import {
  digestOf,
  nobleCrypto,
  parseJson,
  parsePublicKeyPem,
  parseVkey,
  type TrustVersion,
  utf8Encode,
  verify,
  verifyReceipt,
} from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import {
  type Decision,
  decisionDigest,
  evaluate,
  parsePolicy,
  type Rejection,
  type RuleOutcome,
  trustNames,
} from "@assay/policy";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withinOneRequest } from "../src/attestations/artifact-bytes.ts";
import { gatherCandidates } from "../src/gate/candidates.ts";
import type { DecisionShape } from "../src/gate/decision-shape.ts";
import { newestSequence } from "../src/record/newest.ts";
import { trustVersion } from "../src/trust/queries.ts";
import {
  artifact,
  attest,
  type Body,
  makeKey,
  openRoom,
  replayDifferences,
  type Room,
  SIGNED,
} from "./evidence-room.ts";
import { openStore } from "./stored-blobs.ts";

let room: Room;
const key = makeKey();
const other = makeKey("ed25519");

const POLICY = `version: 1
name: release
rules:
  - id: signed
    evidence:
      predicateType: ${SIGNED}
      identities: [release]
`;

beforeAll(async () => {
  room = await openRoom();
  await room.trust("acme", key, { name: "release" });
  await room.trust("acme", other, { name: "other" });
  const put = await room.call("PUT", "/orgs/acme/policies/release", { yaml: POLICY });
  if (put.status !== 200) throw new Error(JSON.stringify(put.body));
});
afterAll(() => room.stop());

async function ask(
  digest: string,
  more: Record<string, unknown> = {},
  token?: string,
): Promise<Body & { repeated: boolean }> {
  const body = { org: "acme", digest, policy: { name: "release" }, ...more };
  const answer = await room.call("POST", "/decisions", body, token);
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  return answer.body as Body & { repeated: boolean };
}

async function download(path: string): Promise<Uint8Array> {
  const answer = await fetch(`${room.instance.url}${path}`, {
    headers: { authorization: `Bearer ${room.instance.adminToken}` },
  });
  expect(answer.status).toBe(200);
  return new Uint8Array(await answer.arrayBuffer());
}

describe("policies", () => {
  it("are versioned, read by name, version and digest, and the same text again changes nothing", async () => {
    const one = POLICY.replace("release\n", "staged\n");
    const two = `${one}# changed\n`;
    const put = async (yaml: string) => (await room.call("PUT", "/orgs/acme/policies/staged", { yaml })).body;
    expect(await put(one)).toMatchObject({ version: 1, changed: true, digest: digestOf(nodeCrypto, utf8Encode(one)) });
    expect(await put(one)).toMatchObject({ version: 1, changed: false });
    expect(await put(two)).toMatchObject({ version: 2, changed: true });
    expect((await room.call("GET", "/orgs/acme/policies/staged")).body).toMatchObject({ version: 2, yaml: two });
    expect((await room.call("GET", "/orgs/acme/policies/staged?version=1")).body).toMatchObject({ yaml: one });
    const byDigest = await room.call("GET", `/orgs/acme/policies/${digestOf(nodeCrypto, utf8Encode(one))}`);
    expect(byDigest.body).toMatchObject({ name: "staged", version: 1, yaml: one });
    expect(await room.refusal("GET", "/orgs/acme/policies/staged?version=9")).toBe("404 policy-unknown");
    const { body } = await room.call("GET", "/orgs/acme/policies");
    expect(body.items.map((item) => item.name)).toEqual(["release", "staged"]);
  });

  it("with errors are refused, by line, and nothing is stored", async () => {
    const yaml = POLICY.replace("identities:", "identitys:");
    const answer = await room.call("PUT", "/orgs/acme/policies/release", { yaml });
    expect(answer.status).toBe(400);
    expect(answer.body.error.code).toBe("policy-invalid");
    expect(answer.body.error.detail.some((problem) => problem.line === 7)).toBe(true);
    expect((await room.call("GET", "/orgs/acme/policies/release")).body).toMatchObject({ version: 1, yaml: POLICY });
  });

  it.each([
    ["another name than the file's", "/orgs/acme/policies/elsewhere", POLICY, "400 policy-name-differs"],
    ["a name out of grammar", "/orgs/acme/policies/Release", POLICY, "400 request-invalid"],
    ["no text", "/orgs/acme/policies/release", "", "400 request-invalid"],
    ["a text too large", "/orgs/acme/policies/release", "#".repeat(300_000), "400 request-invalid"],
    ["a __proto__ key", "/orgs/acme/policies/release", `${POLICY}__proto__: {}\n`, "400 policy-invalid"],
    ["no rules", "/orgs/acme/policies/release", "version: 1\nname: release\nrules: []\n", "400 policy-invalid"],
  ])("with %s are refused", async (_what, path, yaml, expected) => {
    expect(await room.refusal("PUT", path, { yaml })).toBe(expected);
  });
});

describe("a decision", () => {
  it("allows what has the evidence the policy asks for, with everything that repeats it", async () => {
    const subject = artifact("good");
    const posted = await room.post("acme", await attest(key, subject), "app");
    const answer = await ask(subject, { repository: "app" });
    expect(answer.decision).toMatchObject({
      result: "allowed",
      subject,
      repository: "acme/app",
      policy: { name: "release", digest: digestOf(nodeCrypto, utf8Encode(POLICY)) },
      evidence: [posted.body.evidence],
      rules: [{ rule: "signed", outcome: "satisfied" }],
    });
    expect(answer.id).toBe(decisionDigest(nodeCrypto, answer.decision));
    expect(answer.repeated).toBe(false);

    // Repeated from what it names, the decision is the same to the byte.
    const { policy: named, trust: version, asOf, time } = answer.decision;
    const { body: policy } = await room.call("GET", `/orgs/acme/policies/${named.digest}`);
    const parsed = parsePolicy((policy as unknown as { yaml: string }).yaml);
    const trust = await trustVersion(room.instance.reader, "acme", { version: version.version }, []);
    if (!parsed.ok || trust === undefined || asOf === null) throw new Error("cannot be repeated");
    const store = await openStore(room.instance.dataDirectory);
    const candidates = await gatherCandidates(withinOneRequest({ reader: room.instance.reader, blobs: store.blobs }), {
      org: "acme",
      artifact: subject,
      repository: "acme/app",
      trust,
      asOf,
      now: Date.now(),
    });
    await store.close();
    const again = evaluate({
      policy: parsed.policy,
      policyDigest: parsed.digest,
      artifact: { digest: subject, repository: "acme/app" },
      candidates,
      trust: { ...version, names: trustNames(trust) },
      asOf,
      time,
    });
    expect(decisionDigest(nodeCrypto, again)).toBe(answer.id);
  });

  it("takes a key trusted under two names for either, and for neither where a rule excepts one", async () => {
    const both = makeKey();
    await room.trust("acme", both, { name: "first" });
    await room.trust("acme", both, { name: "second" });
    const subject = artifact("two names");
    await room.post("acme", await attest(both, subject));
    const result = async (identities: string) => {
      const { decision } = await ask(subject, { policy: { yaml: POLICY.replace("[release]", identities) } });
      return [decision.result, ...(decision.rules[0]?.rejected.map(({ code }) => code) ?? [])];
    };
    expect(await result("[first]")).toEqual(["allowed"]);
    expect(await result("[second]")).toEqual(["allowed"]);
    expect(await result("[first, second]\n      atLeast: 2")).toEqual(["denied"]);
    expect(await result("[first]\n      except: [second]")).toEqual(["denied", "excepted-signer"]);
  });

  it("names an identity of the policy that nobody in the trust version bears", async () => {
    const yaml = POLICY.replace("[release]", "[relaese]");
    const { decision } = await ask(artifact("misspelt"), { policy: { yaml } });
    expect(decision.rules[0]?.missing).toContain(`trust version ${decision.trust.version} has no entry named relaese`);
  });

  it("denies, as an answer, what nothing is known about", async () => {
    const answer = await ask(artifact("never seen"));
    expect(answer.decision).toMatchObject({ result: "denied", evidence: [], rules: [{ outcome: "unsatisfied" }] });
    expect(answer.decision.reasons).toHaveLength(1);
  });

  it("denies what only an untrusted key, another identity, or nobody signed", async () => {
    const subject = artifact("insufficient");
    await room.post("acme", await attest(makeKey(), subject));
    await room.post("acme", await attest(other, subject));
    await room.call("POST", "/orgs/acme/reports", { subject, predicateType: SIGNED, predicate: {} });
    const { decision } = await ask(subject);
    expect(decision.result).toBe("denied");
    expect(decision.evidence).toHaveLength(3);
    expect(decision.rules[0]?.rejected.map(({ code }) => code).toSorted()).toEqual([
      "other-signer",
      "refused",
      "reported",
    ]);
  });

  it("about one altered byte is another question, and denied", async () => {
    const subject = artifact("bytes");
    await room.post("acme", await attest(key, subject));
    expect((await ask(subject)).decision.result).toBe("allowed");
    expect((await ask(artifact("bytez"))).decision.result).toBe("denied");
  });

  it("takes a policy with the request, and keeps its text under its digest", async () => {
    const subject = artifact("inline");
    await room.post("acme", await attest(other, subject));
    const yaml = POLICY.replace("[release]", "[other]");
    const answer = await ask(subject, { policy: { yaml } });
    expect(answer.decision.result).toBe("allowed");
    expect((await room.call("GET", `/orgs/acme/policies/${answer.decision.policy.digest}`)).body).toMatchObject({
      name: null,
      yaml,
    });
    const rival = await room.person("curious", "rival", "admin");
    expect(
      await room.refusal("GET", `/orgs/rival/policies/${answer.decision.policy.digest}`, undefined, rival.token),
    ).toBe("404 policy-unknown");
  });

  it("is made under the trust version it is asked for", async () => {
    const late = makeKey();
    const subject = artifact("trusted later");
    await room.post("acme", await attest(late, subject));
    const { version } = await room.trust("acme", late, { name: "release" });
    expect((await ask(subject)).decision).toMatchObject({ result: "allowed", trust: { version } });
    expect((await ask(subject, { trustVersion: version - 1 })).decision).toMatchObject({
      result: "denied",
      trust: { version: version - 1 },
    });
    expect(
      await room.refusal("POST", "/decisions", {
        org: "acme",
        digest: subject,
        policy: { name: "release" },
        trustVersion: 999,
      }),
    ).toBe("404 trust-version-unknown");
  });

  it("judges scope by the repository it is asked for", async () => {
    const scoped = makeKey();
    await room.trust("acme", scoped, { name: "release", scope: { repositories: ["acme/app"], predicateTypes: ["*"] } });
    const subject = artifact("scoped");
    await room.post("acme", await attest(scoped, subject), "app");
    expect((await ask(subject, { repository: "app" })).decision.result).toBe("allowed");
    expect((await ask(subject, { repository: "acme/lib" })).decision.result).toBe("denied");
    expect((await ask(subject)).decision.result).toBe("denied");
  });

  it("changes with trust: a revoked key allows nothing any more", async () => {
    const doomed = makeKey();
    const subject = artifact("revoked");
    const { entry } = await room.trust("acme", doomed, { name: "release" });
    await room.post("acme", await attest(doomed, subject));
    const allowed = await ask(subject);
    expect(allowed.decision.result).toBe("allowed");
    await room.call("DELETE", `/orgs/acme/trust/entries/${entry.id}`);
    const denied = await ask(subject);
    expect(denied.decision.result).toBe("denied");
    expect((await room.call("GET", `/decisions/${allowed.id}`)).body).toMatchObject({ current: false });
    expect((await room.call("GET", `/decisions/${denied.id}`)).body).toMatchObject({ current: true });
  });
});

/** `true` when `Shape` has every key of `Whole`; otherwise the assignment below does not compile. */
type Covers<Whole, Shape> = [Exclude<keyof Whole, keyof Shape>] extends [never] ? true : never;

describe("the record of decisions", () => {
  it("has a place for every field that the policy package gives a decision", () => {
    const decision: Covers<Decision, DecisionShape> = true;
    const rule: Covers<RuleOutcome, DecisionShape["rules"][number]> = true;
    const rejection: Covers<Rejection, DecisionShape["rules"][number]["rejected"][number]> = true;
    expect([decision, rule, rejection]).toEqual([true, true, true]);
  });

  it("holds one decision while nothing changes, and counts the repeats", async () => {
    const subject = artifact("repeated");
    await room.post("acme", await attest(key, subject));
    const first = await ask(subject);
    const before = await newestSequence(room.instance.reader);
    const second = await ask(subject);
    expect(second).toMatchObject({ id: first.id, repeated: true, repeats: 1 });
    await ask(subject);
    expect(await newestSequence(room.instance.reader)).toBe(before);
    expect((await room.call("GET", `/decisions/${first.id}`)).body).toMatchObject({ repeats: 2 });
    await room.post("acme", await attest(other, subject));
    expect(await ask(subject)).toMatchObject({ repeated: false });
  });

  it("holds one decision when the same is asked many times at once", async () => {
    const subject = artifact("asked at once");
    await room.post("acme", await attest(key, subject));
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask(subject)));
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(answers.filter(({ repeated }) => !repeated)).toHaveLength(1);
  });

  it("proves them: the receipt holds offline, and its event is the decision", async () => {
    const answer = await ask(artifact("receipted"));
    const logs = (await room.call("GET", "/keys")).body.logs.map(parseVkey);
    const verified = await verifyReceipt(nobleCrypto, answer.receipt, logs);
    expect(verified.event).toMatchObject({ type: "gate.decision-made", org: "acme", body: { id: answer.id } });
  });

  it("lists them, newest first, by page and by artifact", async () => {
    const subject = artifact("listed decisions");
    for (const name of ["a", "b", "c"]) await ask(subject, { policy: { yaml: `${POLICY}# ${name}\n` } });
    const first = (await room.call("GET", `/orgs/acme/decisions?digest=${subject}&limit=2`)).body;
    const second = (await room.call("GET", `/orgs/acme/decisions?digest=${subject}&limit=2&cursor=${first.next}`)).body;
    expect(first.items).toHaveLength(2);
    expect(second.items).toHaveLength(1);
    expect(second.next).toBeNull();
  });
});

describe("the verification summary", () => {
  it("verifies with the service's public key alone and says what the decision says", async () => {
    const subject = artifact("summarised");
    const posted = await room.post("acme", await attest(key, subject), "app");
    const answer = await ask(subject, { repository: "app" });
    const bundle = await download(`/api/assay/v1/decisions/${answer.id}/vsa`);
    const { verdict } = await verifySummary(bundle, subject);
    expect(verdict).toMatchObject({
      status: "verified",
      statement: {
        predicateType: "https://slsa.dev/verification_summary/v1",
        predicate: {
          verificationResult: "PASSED",
          verifier: { id: room.instance.url },
          policy: { digest: { sha256: answer.decision.policy.digest.slice(7) } },
          inputAttestations: [{ digest: { sha256: posted.body.evidence.slice(7) } }],
        },
      },
    });
    const denied = await ask(artifact("summarised denial"));
    const failed = await verifySummary(
      await download(`/api/assay/v1/decisions/${denied.id}/vsa`),
      artifact("summarised denial"),
    );
    expect(failed.verdict).toMatchObject({
      statement: { predicate: { verificationResult: "FAILED", verifiedLevels: ["FAILED"] } },
    });
  });

  it("by a policy given with the request speaks under another verifier's id than one by a stored policy", async () => {
    const subject = artifact("ad hoc");
    await room.post("acme", await attest(key, subject));
    const given = await ask(subject, { policy: { yaml: POLICY } });
    const stored = await ask(subject);
    expect(stored.id).not.toBe(given.id);
    const verifierOf = async (id: string): Promise<unknown> => {
      const { verdict } = await verifySummary(await download(`/api/assay/v1/decisions/${id}/vsa`), subject);
      if (verdict.status !== "verified") throw new Error(verdict.message);
      return (verdict.statement.predicate as { verifier: unknown }).verifier;
    };
    expect(await verifierOf(stored.id)).toEqual({ id: room.instance.url });
    expect(await verifierOf(given.id)).toEqual({ id: `${room.instance.url}/policy-given-with-the-request` });
  });

  it("is never evidence for a decision, even where our own key is trusted", async () => {
    const subject = artifact("self-reference");
    await room.post("acme", await attest(key, subject));
    const answer = await ask(subject);
    const bundle = await download(`/api/assay/v1/decisions/${answer.id}/vsa`);
    const { pem } = await verifySummary(bundle, subject);
    await room.call("POST", "/orgs/acme/trust/entries", {
      name: "ourselves",
      publicKeyPem: pem,
      scope: { repositories: ["**"], predicateTypes: ["*"] },
    });
    expect((await room.post("acme", bundle)).status).toBe(201);
    // In another organisation nothing but the key tells whose it is.
    await room.call("POST", "/orgs/rival/trust/entries", {
      name: "ourselves",
      publicKeyPem: pem,
      scope: { repositories: ["**"], predicateTypes: ["*"] },
    });
    expect((await room.post("rival", bundle)).status).toBe(201);
    const yaml = POLICY.replace(SIGNED, "https://slsa.dev/verification_summary/v1").replace("[release]", "[ourselves]");
    for (const org of ["acme", "rival"]) {
      const { decision } = await ask(subject, { org, policy: { yaml } });
      expect(decision.result).toBe("denied");
      expect(decision.evidence).not.toContain(digestOf(nodeCrypto, bundle));
    }
  });

  async function verifySummary(bundle: Uint8Array, subject: ReturnType<typeof artifact>) {
    const { keys } = (await room.call("GET", "/keys")).body;
    const pem = keys.find(({ purpose }) => purpose === "vsa")?.publicKeyPem ?? "";
    const trust: TrustVersion = {
      org: "outside",
      version: 1,
      entries: [
        {
          kind: "key",
          id: "assay",
          name: "assay",
          publicKeyPem: pem,
          keyId: parsePublicKeyPem(pem).keyId,
          scope: { repositories: ["**"], predicateTypes: ["https://slsa.dev/verification_summary/v1"] },
          validFrom: null,
          validUntil: null,
          primary: false,
        },
      ],
      logs: [],
      roots: [],
    };
    return { pem, verdict: await verify(nobleCrypto, { bundle, artifact: subject, trust, times: [] }) };
  }
});

describe("questions that are none are refused", () => {
  it.each([
    ["an unknown policy", { policy: { name: "nope" } }, "404 policy-unknown"],
    ["a policy with errors", { policy: { yaml: "version: 2" } }, "400 policy-invalid"],
    ["two policies", { policy: { name: "release", yaml: POLICY } }, "400 request-invalid"],
    ["no policy", { policy: {} }, "400 request-invalid"],
    ["a tag for a digest", { digest: "latest" }, "400 request-invalid"],
    ["another organisation's repository", { repository: "rival/app" }, "400 repository-invalid"],
    ["a time of its own", { time: 1 }, "400 request-invalid"],
  ])("%s", async (_what, more, expected) => {
    const before = await newestSequence(room.instance.reader);
    const body = { org: "acme", digest: artifact("x"), policy: { name: "release" }, ...more };
    expect(await room.refusal("POST", "/decisions", body)).toBe(expected);
    expect(await newestSequence(room.instance.reader)).toBe(before);
  });
});

describe("two tenants", () => {
  it("decide from their own evidence, trust and policies, and see only their own decisions", async () => {
    const subject = artifact("shared digest");
    await room.post("acme", await attest(key, subject));
    const mine = await ask(subject);
    expect(mine.decision.result).toBe("allowed");
    const rival = await room.person("rita", "rival", "admin");
    for (const org of ["acme", "nowhere"]) {
      const body = { org, digest: subject, policy: { name: "release" } };
      expect(await room.refusal("POST", "/decisions", body, rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("GET", `/orgs/${org}/decisions`, undefined, rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("GET", `/orgs/${org}/policies`, undefined, rival.token)).toBe("404 org-unknown");
      expect(await room.refusal("GET", `/orgs/${org}/policies/release`, undefined, rival.token)).toBe(
        "404 org-unknown",
      );
      expect(await room.refusal("PUT", `/orgs/${org}/policies/release`, { yaml: POLICY }, rival.token)).toBe(
        "404 org-unknown",
      );
    }
    for (const id of [mine.id, artifact("no decision")]) {
      expect(await room.refusal("GET", `/decisions/${id}`, undefined, rival.token)).toBe("404 decision-unknown");
      expect(await room.refusal("GET", `/decisions/${id}/vsa`, undefined, rival.token)).toBe("404 decision-unknown");
    }
    // With the same policy and even the same key trusted, acme's evidence is not the rival's.
    await room.trust("rival", key, { name: "release" });
    const theirs = await ask(subject, { org: "rival", policy: { yaml: POLICY } }, rival.token);
    expect(theirs.decision).toMatchObject({ result: "denied", evidence: [] });
  });

  it("let readers read decisions and not make them, in the route and in the transaction", async () => {
    const reader = await room.person("ron", "acme", "reader");
    const made = await ask(artifact("read by a reader"));
    expect((await room.call("GET", `/decisions/${made.id}`, undefined, reader.token)).status).toBe(200);
    const body = { org: "acme", digest: artifact("x"), policy: { name: "release" } };
    expect(await room.refusal("POST", "/decisions", body, reader.token)).toMatch(/^403 /);
    expect(await room.refusal("PUT", "/orgs/acme/policies/release", { yaml: `${POLICY}#\n` }, reader.token)).toMatch(
      /^403 /,
    );
    const appended = await room.instance.record.append({
      type: "gate.decide",
      org: "acme",
      actor: reader.actor,
      body: {
        decision: parseJson(JSON.stringify(made.decision)),
        policy: null,
        pinnedTrust: null,
        vsa: artifact("x"),
      },
    });
    expect(appended.ok ? 200 : appended.refusal.status).toBe(403);
  });
});

it("projecting the events again gives the same tables", async () => {
  expect(await replayDifferences(room.instance)).toEqual([]);
});
