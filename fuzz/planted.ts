/** Parsers with one fault each, which the harness must find: if it does not, that it finds nothing elsewhere says nothing. */
import { EvidenceError } from "../packages/evidence/src/index.ts";
import type { Groups } from "./targets.ts";

const seeds = [new TextEncoder().encode("a good input, not damaged")];
const kept: Uint8Array[] = [];

/** A group of one parser that does `fault` where the input holds a byte that no good one holds, and refuses every other damage. */
const faulty = (fault: () => unknown) => [
  {
    name: "planted",
    seeds,
    structural: [],
    tokens: [],
    run: (bytes: Uint8Array) => {
      if (bytes.includes(0xff)) return fault();
      if (bytes.length !== seeds[0]?.length) throw new EvidenceError("json-invalid", "Damaged.");
      return bytes;
    },
  },
];

export const GROUPS: Groups = {
  error: faulty(() => {
    throw new TypeError("a fault of ours");
  }),
  slow: faulty(() => {
    const started = process.threadCpuUsage();
    for (let used = 0; used < 1_200_000; ) {
      for (let i = 0; i < 1_000_000; i++) Math.sqrt(i);
      const { user, system } = process.threadCpuUsage(started);
      used = user + system;
    }
  }),
  hang: faulty(() => {
    for (;;);
  }),
  crash: faulty(() => {
    const hoard: unknown[] = [];
    for (;;) hoard.push({ hoard: hoard.length });
  }),
  memory: faulty(() => new Uint8Array(200 * 1024 * 1024)),
  leak: [{ name: "planted", seeds, structural: [], tokens: [], run: () => kept.push(new Uint8Array(20_000)) }],
};
