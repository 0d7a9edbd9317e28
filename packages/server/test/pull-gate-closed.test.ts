/** A pull gate that cannot say "allowed" says nothing else either: nothing is served. */
import { type Digest, formatPublicKeyPem } from "@assay/evidence";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { holdsUntil } from "../src/gate/answer-age.ts";
import type { GateContext } from "../src/gate/context.ts";
import { PullGates } from "../src/gate/pull-gate.ts";
import { RepeatCounter } from "../src/gate/repeat-counter.ts";
import { StandingAnswers } from "../src/gate/standing-answers.ts";
import { ServerError } from "../src/errors.ts";
import type { RecordClient } from "../src/record/client.ts";
import type { Actor } from "../src/record/command.ts";
import type { PullGate } from "../src/registry/routes.ts";
import type { BlobStore } from "../src/storage/blobs.ts";
import { makeKey, SIGNED } from "./evidence-room.ts";
import { type GatedRoom, openGatedRoom } from "./gated-room.ts";
import { openRegistryRoom } from "./registry-room.ts";
import type { OpenBlobs } from "../src/storage/open-blobs.ts";
import { openStore } from "./stored-blobs.ts";

describe("the registry", () => {
  it.each<[string, PullGate | "unfilled", number]>([
    ["whose gate nobody filled", "unfilled", 503],
    [
      "whose gate throws",
      {
        manifest: () => Promise.reject(new TypeError("a fault of the gate")),
        blob: () => Promise.reject(new TypeError("a fault of the gate")),
        stands: () => Promise.reject(new TypeError("a fault of the gate")),
      },
      500,
    ],
    [
      "whose gate has no database",
      {
        manifest: () => Promise.reject(new ServerError("database-busy", "locked")),
        blob: () => Promise.reject(new ServerError("database-busy", "locked")),
        stands: () => Promise.reject(new ServerError("database-busy", "locked")),
      },
      503,
    ],
  ])("%s serves nothing, and takes what is pushed", async (_what, gate, status) => {
    const room = await openRegistryRoom(["acme"], { gate });
    const image = await room.pushImage("acme/app", "1.0.0", "a layer");
    for (const path of ["manifests/1.0.0", `manifests/${image.digest}`, `blobs/${image.layer}`]) {
      for (const method of ["GET", "HEAD"]) {
        const answer = await room.call(method, `/v2/acme/app/${path}`, { headers: { "if-none-match": "*" } });
        expect(answer.status).toBe(status);
        expect(answer.headers["etag"]).toBeUndefined();
        expect(answer.text).not.toContain("a layer");
      }
    }
    const mount = await room.call("POST", `/v2/acme/b/blobs/uploads/?mount=${image.layer}&from=acme/app`);
    expect(mount.status).not.toBe(201);
    await room.stop();
  });
});

describe("a gate", () => {
  let room: GatedRoom;
  let store: OpenBlobs;
  let reader: Actor;
  const key = makeKey();

  beforeAll(async () => {
    room = await openGatedRoom();
    store = await openStore(room.instance.dataDirectory);
    reader = (await room.person("rex", "acme", "reader")).actor;
  });
  afterAll(async () => {
    await store.close();
    await room.stop();
  });

  function context(more: { record?: RecordClient; blobs?: BlobStore; now?: () => number } = {}): GateContext {
    return {
      reader: room.instance.reader,
      record: more.record ?? room.instance.record,
      blobs: more.blobs ?? store.blobs,
      keyring: {
        key: () => ({ publicKeyPem: formatPublicKeyPem(key.publicKey) }) as never,
        sign: (_purpose, bytes) => key.sign(bytes),
      },
      prover: { receipt: () => Promise.resolve(undefined) },
      publicUrl: "https://assay.test",
      logs: [],
      ...(more.now === undefined ? {} : { now: more.now }),
    };
  }

  function gateOf(of: GateContext, patienceMs?: number): PullGates {
    const repeats = new RepeatCounter(of.record, () => undefined);
    return new PullGates(of, repeats, new StandingAnswers(of, patienceMs));
  }

  it("whose decision cannot be recorded serves nothing, remembers nothing of it, and goes on by itself", async () => {
    const image = await room.pushImage("acme/full", "1.0.0", "full");
    await room.sign(image.digest);
    await room.gate("acme/full");
    const trouble: { error: Error | undefined } = { error: new ServerError("storage-failed", "the disk is full") };
    const record: RecordClient = {
      append: (commands) =>
        trouble.error === undefined ? room.instance.record.append(commands) : Promise.reject(trouble.error),
      operate: (type, body) => room.instance.record.operate(type, body),
    };
    const gate = gateOf(context({ record }));
    const pull = { org: "acme", repository: "acme/full", actor: reader };
    for (let turn = 0; turn < 3; turn += 1) {
      await expect(gate.manifest(pull, image.digest)).rejects.toThrow("the disk is full");
      await expect(gate.blob(pull, image.layer)).rejects.toThrow("the disk is full");
    }
    trouble.error = undefined;
    expect(await gate.manifest(pull, image.digest)).toBeUndefined();
    trouble.error = new ServerError("storage-failed", "the disk is full");
    // What is decided needs no more of the disk.
    expect(await gate.manifest(pull, image.digest)).toBeUndefined();
    expect(await gate.blob(pull, image.layer)).toBeUndefined();
  });

  it("whose decision takes too long answers 503 in time; what comes of it later is there for who asks next", async () => {
    const image = await room.pushImage("acme/late", "1.0.0", "late");
    await room.sign(image.digest);
    await room.gate("acme/late");
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    const record: RecordClient = {
      append: async (commands) => {
        await held;
        return await room.instance.record.append(commands);
      },
      operate: (type, body) => room.instance.record.operate(type, body),
    };
    const gate = gateOf(context({ record }), 200);
    const pull = { org: "acme", repository: "acme/late", actor: reader };
    const late = await Promise.allSettled([1, 2, 3].map(() => gate.manifest(pull, image.digest)));
    const undecided = { status: "rejected", reason: { status: 503, code: "pull-gate-undecided" } };
    expect(late).toMatchObject([undecided, undecided, undecided]);
    go();
    await expect.poll(() => gate.manifest(pull, image.digest)).toBeUndefined();
    const { body } = await room.call("GET", `/orgs/acme/decisions?digest=${image.digest}`);
    expect(body.items.length).toBe(1);
  });

  it("that cannot read the evidence decides nothing", async () => {
    const image = await room.pushImage("acme/blind", "1.0.0", "blind");
    await room.sign(image.digest);
    await room.gate("acme/blind");
    const blobs = Object.assign(Object.create(store.blobs) as BlobStore, {
      readSmall: () => Promise.reject(new ServerError("blobs-unavailable", "the store does not answer")),
    });
    const pull = { org: "acme", repository: "acme/blind", actor: reader };
    await expect(gateOf(context({ blobs })).manifest(pull, image.digest)).rejects.toThrow("the store does not answer");
    expect(await gateOf(context()).manifest(pull, image.digest)).toBeUndefined();
  });

  it("stops serving at the moment that evidence is too old, though nothing was recorded since", async () => {
    const image = await room.pushImage("acme/aged", "1.0.0", "aged");
    const yaml = `version: 1\nname: aged\nrules:\n  - id: young\n    age:\n      predicateType: ${SIGNED}\n      identities: [release]\n      maximum: 1m\n`;
    const put = await room.call("PUT", "/orgs/acme/policies/aged", { yaml });
    expect(put.status, JSON.stringify(put.body)).toBe(200);
    await room.gate("acme/aged", "aged");
    await room.sign(image.digest);
    const signed = Date.now();
    const clock = { now: signed };
    const gate = gateOf(context({ now: () => clock.now }));
    const pull = { org: "acme", repository: "acme/aged", actor: reader };
    expect(await gate.manifest(pull, image.digest)).toBeUndefined();
    clock.now = signed + 50_000;
    expect(await gate.manifest(pull, image.digest)).toBeUndefined();
    expect(await gate.blob(pull, image.layer)).toBeUndefined();
    clock.now = signed + 60_001;
    expect(await gate.manifest(pull, image.digest)).toMatchObject({ code: "pull-denied" });
    expect(await gate.blob(pull, image.layer)).toMatchObject({ code: "pull-denied" });
  });

  it("judges what is nowhere, and names it in the refusal", async () => {
    await room.gate("acme/void");
    const nothing = `sha256:${"0".repeat(64)}` as Digest;
    const pull = { org: "acme", repository: "acme/void", actor: reader };
    expect(await gateOf(context()).manifest(pull, nothing)).toMatchObject({ status: 403, code: "pull-denied" });
    expect(await gateOf(context()).blob(pull, nothing)).toMatchObject({ status: 403, code: "pull-denied" });
  });
});

describe("an answer", () => {
  it("holds until the first evidence that counts is too old, and never longer than half a minute", () => {
    const rule = (id: string, maximumAge: number | null) => ({ id, maximumAge }) as never;
    const policy = { version: 1 as const, name: "p", rules: [rule("a", 1_000), rule("b", null), rule("c", 90_000)] };
    const counts = (rule: string, ...times: (number | null)[]) =>
      ({ rule, satisfiedBy: times.map((time) => ({ time: time === null ? null : { time } })) }) as never;
    const decision = (...rules: never[]) => ({ rules }) as never;
    expect(holdsUntil(policy, decision(), 5_000)).toBe(35_000);
    expect(holdsUntil(policy, decision(counts("a", 4_500, 4_200)), 5_000)).toBe(5_201);
    expect(holdsUntil(policy, decision(counts("b", 4_500), counts("c", 0, null)), 5_000)).toBe(35_000);
    expect(holdsUntil(policy, decision(counts("c", -60_000)), 5_000)).toBe(30_001);
    // What is too old already has had its say.
    expect(holdsUntil(policy, decision(counts("a", 1_000)), 5_000)).toBe(35_000);
  });
});
