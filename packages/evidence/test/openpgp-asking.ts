/** Asking for a verdict on an OpenPGP signature, in as few words as a test needs. */
import { openPgp } from "../openpgp/index.ts";
import type { OpenPgpResult, ProvenTime } from "../src/index.ts";
import { BIRTH } from "./openpgp-builder.ts";

export const DOCUMENT = new TextEncoder().encode("A document\nof two lines\n");

/** When test signatures are proven to have existed, unless said otherwise; seconds since 1970. */
export const PROVEN = BIRTH + 200;

export type Question = {
  document?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Seconds since 1970; null = no time is proven. */
  proven?: number | null;
};

export function provenAt(seconds: number | null): ProvenTime[] {
  return seconds === null ? [] : [{ source: "received-here", time: seconds * 1000, evidence: "the test's word" }];
}

export function ask(
  signature: Uint8Array | string,
  certificates: string | readonly string[],
  { document = DOCUMENT, proven = PROVEN }: Question = {},
): Promise<OpenPgpResult> {
  return openPgp.verify({
    signature: typeof signature === "string" ? new TextEncoder().encode(signature) : signature,
    document,
    certificates: typeof certificates === "string" ? [certificates] : certificates,
    times: provenAt(proven),
  });
}

/** "good", or why not. */
export async function verdict(...question: Parameters<typeof ask>): Promise<string> {
  const result = await ask(...question);
  return result.outcome === "good" ? "good" : result.code;
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
