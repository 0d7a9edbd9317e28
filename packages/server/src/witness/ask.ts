import {
  EvidenceError,
  type Crypto,
  noteSignatureLine,
  type PolicyWitness,
  parseNote,
  utf8Decode,
  verifyCosignatures,
} from "@assay/evidence";
import type { Endpoint } from "./policy-file.ts";
import { formatAddCheckpoint, type AddCheckpoint, SIZE_TYPE } from "./wire.ts";

/** Bytes of an answer: many signature lines, ML-DSA-44 ones too. */
const ANSWER_BYTES = 64 * 1024;

/** How far a witness's clock may be from ours, ms: a cosignature's time is part of what it says. */
const CLOCK_MS = 10 * 60_000;

/** A cosignature that verified over the checkpoint that was sent. */
export interface GivenCosignature {
  readonly witness: PolicyWitness;
  /** Its signature line, without newline. */
  readonly line: string;
  /** s. */
  readonly time: number;
}

/** What came of asking. */
export type Answer =
  | { readonly kind: "cosigned"; readonly cosignatures: readonly GivenCosignature[] }
  /** It has cosigned another size than the request supposed. */
  | { readonly kind: "conflict"; readonly size: number }
  /** It says that the checkpoint does not continue what it has seen. */
  | { readonly kind: "inconsistent"; readonly message: string }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "unreachable"; readonly message: string };

/** Asks a witness to cosign a checkpoint, once. Nothing it answers is believed but what verifies, and a 409's size. */
export async function askWitness(
  crypto: Crypto,
  endpoint: Endpoint,
  request: Pick<AddCheckpoint, "old" | "proof" | "note">,
  signal: AbortSignal,
): Promise<Answer> {
  let answer: { status: number; type: string; body: string };
  try {
    answer = await exchange(`${endpoint.url}/add-checkpoint`, signal, formatAddCheckpoint(request));
  } catch (error) {
    return { kind: "unreachable", message: reasonOf(error) };
  }
  // For people, and into the database: no control characters, one of which PostgreSQL could not even hold.
  const said = `${answer.status} ${answer.body.slice(0, 200).replaceAll(/\p{C}/gu, " ").trim()}`.trim();
  switch (answer.status) {
    case 200:
      return await readCosignatures(crypto, endpoint, request.note, answer.body);
    case 409: {
      const size = /^(0|[1-9][0-9]{0,15})\n$/.exec(answer.body)?.[1];
      return answer.type !== SIZE_TYPE || size === undefined || !Number.isSafeInteger(Number(size))
        ? { kind: "refused", message: `its 409 does not say a size: ${said}` }
        : { kind: "conflict", size: Number(size) };
    }
    case 403:
      return { kind: "refused", message: `it does not know this log's key: ${said}` };
    case 404:
      return { kind: "refused", message: `it does not witness this log: ${said}` };
    case 422:
      return { kind: "inconsistent", message: `it has seen another history of this log: ${said}` };
    default:
      return { kind: "refused", message: said };
  }
}

/**
 * The checkpoint a witness shows as the newest it cosigned of a log (C2SP tlog-witness, monitor retrieval); undefined when it shows
 * none, which it need not.
 */
export async function shownCheckpoint(
  endpoint: Endpoint,
  hash: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const answer = await exchange(`${endpoint.url}/${hash}/checkpoint`, signal);
  return answer.status === 200 ? answer.body : undefined;
}

async function readCosignatures(crypto: Crypto, endpoint: Endpoint, note: string, body: string): Promise<Answer> {
  const keys = endpoint.witnesses.map(({ key }) => key);
  try {
    // The log's own signature is left out, so that the answer alone is judged. Lines of strangers are ignored.
    const found = await verifyCosignatures(crypto, `${parseNote(note).text}\n${body}`, keys);
    const cosignatures: GivenCosignature[] = [];
    for (const { key, time, signature } of found) {
      const witness = endpoint.witnesses.find((each) => each.key === key);
      if (witness === undefined) continue;
      if (Math.abs(Date.now() - time * 1000) > CLOCK_MS) {
        const when = new Date(Math.min(time * 1000, 8.64e15)).toISOString();
        return { kind: "refused", message: `its cosignature is of ${when}: its clock or ours is wrong` };
      }
      cosignatures.push({ witness, line: noteSignatureLine(key, signature), time });
    }
    return cosignatures.length === 0
      ? { kind: "refused", message: "its answer holds no cosignature by the key the policy names" }
      : { kind: "cosigned", cosignatures };
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    return { kind: "refused", message: `its answer is not what it should be: ${error.message}` };
  }
}

/** One request to a configured URL and to no other: a redirect is an error. */
async function exchange(
  url: string,
  signal: AbortSignal,
  body?: string,
): Promise<{ status: number; type: string; body: string }> {
  const response = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    redirect: "error",
    signal,
    ...(body === undefined ? {} : { body, headers: { "content-type": "text/plain; charset=utf-8" } }),
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  const stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array> = response.body ?? [];
  for await (const chunk of stream) {
    size += chunk.length;
    // Leaving the loop cancels the rest of the body.
    if (size > ANSWER_BYTES) throw new Error(`its answer has more than ${ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
  return { status: response.status, type: type.trim(), body: utf8Decode(Buffer.concat(chunks)) };
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "it did not answer in time";
  // `fetch failed` says nothing; its cause does.
  return error.cause instanceof Error ? error.cause.message || error.cause.name : error.message;
}
