import { expect, it } from "vitest";
import { sendBuffers } from "../src/storage/send-buffers.ts";

const MIB = 1024 * 1024;

it("buffers for sending are used again, and those that are too many give their memory back at once", () => {
  const taken = Array.from({ length: 10 }, () => sendBuffers.take(MIB));
  expect(taken.every(({ length }) => length === MIB)).toBe(true);
  const [stuck, ...rest] = taken;
  // The socket may still read it: it keeps its memory, and nobody else gets it.
  if (stuck !== undefined) sendBuffers.giveBack(stuck, false);
  for (const buffer of rest) sendBuffers.giveBack(buffer, true);
  expect(stuck).toHaveLength(MIB);
  expect(rest.filter(({ length }) => length === MIB)).toHaveLength(8);
  expect(rest.filter(({ length }) => length === 0)).toHaveLength(1);
  const again = Array.from({ length: 9 }, () => sendBuffers.take(MIB));
  expect(again.filter((buffer) => rest.includes(buffer))).toHaveLength(8);
  expect(again).not.toContain(stuck);
  for (const buffer of again) sendBuffers.giveBack(buffer, true);
});
