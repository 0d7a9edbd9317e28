/** What is remembered of artifacts' hashes, for whom, and what gives way. */
import type { HashedDocument } from "@assay/evidence";
import { nodeCrypto } from "@assay/evidence/node";
import fc from "fast-check";
import { expect, it } from "vitest";
import { ArtifactReadings, readingsAside } from "../src/attestations/artifact-readings.ts";
import { HashMemory } from "../src/attestations/hash-memory.ts";

function hashed(): HashedDocument {
  const hasher = nodeCrypto.createHash?.("sha256");
  if (hasher === undefined) throw new Error("there is no such hash");
  return { hasher, isFit: true };
}

const one = hashed();

/** A memory whose clock stands until it is moved. */
function memoryOf(limit: number) {
  const clock = { now: 0 };
  return { clock, memory: new HashMemory({ limit, inUseMs: 1_000, now: () => clock.now }) };
}

const names = (count: number, prefix = "n"): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

it("knows what it was given, for the organisation that it was given for and no other", () => {
  const { memory } = memoryOf(10);
  memory.remember("acme", "n", one);
  expect(memory.recall("acme", "n")).toBe(one);
  expect(memory.recall("rival", "n")).toBeUndefined();
  expect(memory.recall("acme", "m")).toBeUndefined();
});

it("forgets what was used least recently, once that is out of use", () => {
  const { memory, clock } = memoryOf(2);
  memory.remember("acme", "a", one);
  memory.remember("acme", "b", one);
  clock.now = 500;
  memory.recall("acme", "a");
  clock.now = 1_200;
  memory.remember("acme", "c", one);
  expect(["a", "b", "c"].map((name) => memory.recall("acme", name) !== undefined)).toEqual([true, false, true]);
});

it("keeps what is in use from what comes anew: who walks over more than fits finds the same part each time", () => {
  const { memory } = memoryOf(10);
  const walk = (): number => {
    let found = 0;
    for (const name of names(15)) {
      if (memory.recall("acme", name) !== undefined) found++;
      else memory.remember("acme", name, one);
    }
    return found;
  };
  expect([walk(), walk(), walk()]).toEqual([0, 10, 10]);
});

it("takes from whoever has most: no organisation, however much it asks for, takes another's share", () => {
  const { memory } = memoryOf(100);
  for (const name of names(30, "own")) memory.remember("acme", name, one);
  for (const name of names(1_000)) memory.remember("greedy", name, one);
  expect(names(30, "own").filter((name) => memory.recall("acme", name) !== undefined)).toHaveLength(30);
  // Whoever comes later gets theirs too, though everything is in use.
  for (const name of names(30)) memory.remember("late", name, one);
  expect(names(30).filter((name) => memory.recall("late", name) !== undefined)).toHaveLength(30);
  expect(names(30, "own").filter((name) => memory.recall("acme", name) !== undefined)).toHaveLength(30);
});

it("never holds more than its limit, and nobody who asks for their share has less than it", () => {
  const orgs = ["a", "b", "c"];
  const given = fc.record({ org: fc.constantFrom(...orgs), name: fc.nat(30), wait: fc.nat(400) });
  fc.assert(
    fc.property(fc.array(given, { maxLength: 200 }), (sequence) => {
      const { memory, clock } = memoryOf(12);
      const asked = new Map(orgs.map((org) => [org, new Set<string>()]));
      for (const { org, name, wait } of sequence) {
        clock.now += wait;
        memory.remember(org, `${name}`, one);
        asked.get(org)?.add(`${name}`);
      }
      let total = 0;
      for (const org of orgs) {
        const held = names(31, "").filter((name) => memory.recall(org, name) !== undefined).length;
        total += held;
        expect(held).toBeGreaterThanOrEqual(Math.min(4, asked.get(org)?.size ?? 0));
      }
      expect(total).toBeLessThanOrEqual(12);
    }),
    { numRuns: 50 },
  );
});

it("what is only foreseen knows what is remembered and adds nothing to it", () => {
  const { memory } = memoryOf(2);
  const readings = new ArtifactReadings({ memory });
  readings.remember("acme", "known", one);
  const aside = readingsAside(readings);
  expect(aside.recall("acme", "known")).toBe(one);
  for (const name of names(300)) aside.remember("acme", name, one);
  expect(aside.recall("acme", "n0")).toBe(one);
  expect(readings.recall("acme", "n0")).toBeUndefined();
  expect(readings.recall("acme", "known")).toBe(one);
});
