import { describe, expect, it } from "vitest";
import { parsePolicy, trustNames } from "../src/index.ts";
import { COSIGN, decide, hash, outcome, said } from "./world.ts";

const rule = (identities: string, atLeast = 1, more = ""): string => `
  - id: signed
    evidence: { predicateType: "${COSIGN}", identities: [${identities}], atLeast: ${atLeast}${more} }`;
const FINGERPRINT = hash("alice").slice(0, 40);

describe("an OpenPGP certificate", () => {
  it("is named by its whole fingerprint", () => {
    const signed = said({ by: "alice", kind: "openpgp" });
    expect(outcome(decide(rule(`"openpgp:${FINGERPRINT}"`), [signed]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule("alice"), [signed]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule(`"openpgp:${hash("bob").slice(0, 40)}"`), [signed]))).toEqual([
      "unsatisfied",
      "other-signer",
    ]);
  });

  it("is not a key with the same digits, nor the reverse: a version 6 fingerprint has the form of a key id", () => {
    const long = { ...said({ by: "alice" }) };
    const version6 = { ...long, signer: { ...long.signer, kind: "openpgp" as const, principal: long.signer.keyId } };
    expect(outcome(decide(rule(`"openpgp:${hash("alice")}"`), [version6]))).toEqual(["satisfied"]);
    expect(outcome(decide(rule(`"sha256:${hash("alice")}"`), [version6]))).toEqual(["unsatisfied", "other-signer"]);
    expect(outcome(decide(rule(`"openpgp:${hash("alice")}"`), [long]))).toEqual(["unsatisfied", "other-signer"]);
  });

  it("cannot be named by a short key id, in capitals or with spaces", () => {
    for (const wrong of [
      `openpgp:${FINGERPRINT.slice(24)}`,
      `OPENPGP:${FINGERPRINT}`,
      `openpgp:${FINGERPRINT.toUpperCase()}`,
      "openpgp:",
      `openpgp:${FINGERPRINT} `,
    ]) {
      const parsed = parsePolicy(`version: 1\nname: x\nrules:${rule(`"${wrong}"`)}`);
      expect(parsed.ok, wrong).toBe(false);
    }
  });

  it("is excepted by fingerprint", () => {
    const decision = decide(rule("alice", 1, `, except: ["openpgp:${FINGERPRINT}"]`), [
      said({ by: "alice", kind: "openpgp" }),
    ]);
    expect(outcome(decision)).toEqual(["unsatisfied", "excepted-signer"]);
  });
});

describe("a certificate identity", () => {
  const alice = (more = {}) =>
    said({ by: "alice", kind: "certificate", key: "entry", principal: "alice@issuer", ...more });

  it("is one signer however many entries mean it", () => {
    // Two entries with patterns of their own match one certificate: two key ids, one principal.
    const other = said({ by: "release", kind: "certificate", key: "other entry", principal: "alice@issuer" });
    expect(outcome(decide(rule("alice, release", 2), [alice(), other]))).toEqual(["unsatisfied"]);
    const bob = said({ by: "release", kind: "certificate", key: "other entry", principal: "bob@issuer" });
    expect(outcome(decide(rule("alice, release", 2), [alice(), bob]))).toEqual(["satisfied"]);
  });

  it("is shown by what tells it apart, and a key's decision stays as it was", () => {
    const decision = decide(rule("alice"), [alice()]);
    expect(decision.rules[0]?.satisfiedBy[0]?.signer).toEqual({
      keyId: hash("entry"),
      principal: hash("alice@issuer"),
      entry: "entry-alice",
      name: "alice",
    });
    expect(decide(rule("bob"), [alice()]).rules[0]?.rejected[0]?.reason).toBe(
      `It is signed by "alice" (certificate identity ${hash("alice@issuer")}), whom the rule does not name.`,
    );
    const key = decide(rule("alice"), [said({ by: "alice" })]).rules[0]?.satisfiedBy[0]?.signer;
    expect(key).not.toHaveProperty("principal");
  });

  it("is no signer without its principal, or of a kind that is not known", () => {
    const whole = alice();
    const { principal: _, ...without } = whole.signer;
    for (const signer of [without, { ...whole.signer, principal: "" }, { ...whole.signer, kind: "password" }]) {
      const decision = decide(rule("alice"), [{ ...whole, signer } as never]);
      expect(outcome(decision)).toEqual(["error", "candidate-malformed"]);
    }
  });

  it("is not named by the key id of its entry", () => {
    expect(outcome(decide(rule(`"sha256:${hash("entry")}"`), [alice()]))).toEqual(["unsatisfied", "other-signer"]);
  });
});

describe("evidence of before there were principals", () => {
  it("is told apart by key id", () => {
    expect(said()).not.toHaveProperty("signer.principal");
    expect(outcome(decide(rule("alice, bob", 2), [said({ by: "alice" }), said({ by: "bob" })]))).toEqual(["satisfied"]);
    expect(
      outcome(decide(rule("alice, bob", 2), [said({ by: "alice", key: "k" }), said({ by: "bob", key: "k" })])),
    ).toEqual(["unsatisfied"]);
  });
});

describe("the names of a trust version", () => {
  const entries = [
    { kind: "key", id: "1", name: "ci", keyId: hash("ci") },
    { kind: "openpgp", id: "2", name: "alice", keyId: FINGERPRINT },
    { kind: "certificate", id: "3", name: "release", keyId: hash("identity") },
  ] as never;

  it("are those by which a policy can mean somebody", () => {
    expect(trustNames({ entries })).toEqual([
      "1",
      "ci",
      hash("ci"),
      "2",
      "alice",
      `openpgp:${FINGERPRINT}`,
      "3",
      "release",
    ]);
  });

  it("say of a fingerprint that nobody bears it", () => {
    const trust = { org: "default", version: 4, names: trustNames({ entries }) };
    const stranger = `openpgp:${hash("stranger").slice(0, 40)}`;
    expect(decide(rule(`"${stranger}"`), [said()], { trust }).rules[0]?.missing).toContain(
      `trust version 4 has no entry with the certificate ${stranger}`,
    );
    const known = decide(rule(`"openpgp:${FINGERPRINT}"`), [said()], { trust }).rules[0]?.missing;
    expect(known).not.toContain("trust version");
  });
});
