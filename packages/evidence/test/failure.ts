import { expect } from "vitest";
import type { EvidenceErrorCode } from "../src/index.ts";

/** What an error with this code looks like, for `toThrow`. */
export function code(code: EvidenceErrorCode): Error {
  return expect.objectContaining({ code }) as Error;
}
