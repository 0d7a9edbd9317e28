import { z } from "zod";
import type { Finding } from "./finding.ts";

/** As much of that event as holding it against the record needs. */
const redactedBody = z.object({
  redactions: z.array(z.object({ sequence: z.int().nonnegative(), digest: z.string().regex(/^[0-9a-f]{64}$/) })),
});

/** What is known of redactions at some place in the record; plain data. */
export interface RedactionState {
  /** Events whose salt is gone, and the SHA-256 of the bytes found there (lower-case hex). */
  readonly replaced: readonly (readonly [sequence: number, digest: string])[];
  /** Events that a redaction names: which one did last, and the digest it gives. */
  readonly named: readonly (readonly [sequence: number, by: number, digest: string])[];
}

/**
 * Events whose body was replaced, against the later events that say so. Nothing can recompute their commitment any more; the newest
 * redaction that names an event holds the digest of what must stand in its place.
 */
export class RedactionChecker {
  readonly #replaced: Map<number, string>;
  readonly #named: Map<number, { by: number; digest: string }>;

  constructor(state: RedactionState = { replaced: [], named: [] }) {
    this.#replaced = new Map(state.replaced);
    this.#named = new Map(state.named.map(([sequence, by, digest]) => [sequence, { by, digest }]));
  }

  /** An event without a salt, whose bytes have this digest. */
  replaced(sequence: number, digest: string): void {
    this.#replaced.set(sequence, digest);
  }

  /** Takes a redaction's body (record/redaction.ts); call in order. */
  *take(by: number, body: unknown): Generator<Finding> {
    const parsed = redactedBody.safeParse(body);
    if (!parsed.success) {
      yield {
        kind: "event",
        where: `event ${by}`,
        problem: `it is no redaction that can be read: ${z.prettifyError(parsed.error)}`,
        action: "start the version of Assay that wrote it",
        entry: by,
      };
      return;
    }
    for (const { sequence, digest } of parsed.data.redactions) {
      if (sequence < by) this.#named.set(sequence, { by, digest });
      else {
        yield {
          kind: "event",
          where: `event ${by}`,
          problem: `it redacts event ${sequence}, which does not come before it`,
          action: "restore this record from a backup made before the damage",
          entry: by,
        };
      }
    }
  }

  /**
   * After the last event: what does not belong together.
   *
   * @param before the digest of an event's bytes that was not seen, because this check began after it; undefined when its salt is there.
   */
  async *finish(from: number, before: (sequence: number) => Promise<string | undefined>): AsyncGenerator<Finding> {
    const action = "restore the bytes that the redaction left, from a backup made after it";
    for (const [sequence, { by, digest }] of this.#named) {
      const there = sequence < from ? await before(sequence) : this.#replaced.get(sequence);
      if (there === digest) continue;
      yield {
        kind: "event",
        where: `event ${sequence}`,
        problem:
          there === undefined
            ? `event ${by} redacted it, but it is there as it was before`
            : `its bytes are not those that its redaction (event ${by}) left: they were altered`,
        action: there === undefined ? "redact it again: `assay server redact`" : action,
        entry: sequence,
      };
    }
    for (const sequence of this.#replaced.keys()) {
      if (this.#named.has(sequence)) continue;
      yield {
        kind: "event",
        where: `event ${sequence}`,
        problem: "its salt is gone, and no redaction names it",
        action: "restore this record from a backup made before the damage",
        entry: sequence,
      };
    }
  }

  /** What a later check goes on from. */
  state(): RedactionState {
    return {
      replaced: [...this.#replaced],
      named: [...this.#named].map(([sequence, { by, digest }]) => [sequence, by, digest] as const),
    };
  }
}
