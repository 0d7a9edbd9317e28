import { type Digest, isDigest } from "@assay/evidence";

/**
 * A blob's name in a store: its digest's hex, and from the second generation on the generation after an underscore, which sorts after what
 * file names of S3 servers end in.
 *
 * Garbage collection ends a generation before it removes anything of it, and a name of an ended generation is never written to again by
 * whoever is to be believed. So the removal of a blob can be late by any time, and never hits bytes that somebody put there anew: those
 * have another name. (The record says which generation of a digest counts; see the room collection.)
 */
export function generationName(hex: string, generation: number): string {
  return generation === 0 ? hex : `${hex}_${generation}`;
}

/** The generation that nobody has collected yet: every digest begins in it. */
export const FIRST_GENERATION = 0;

const NAME = /^([0-9a-f]{64})(?:_([1-9]\d{0,14}))?$/;

/** What a store's name says; undefined for what is no blob's. */
export function parseGenerationName(
  name: string,
): { readonly digest: Digest; readonly generation: number } | undefined {
  const [, hex, generation] = NAME.exec(name) ?? [];
  const digest = `sha256:${hex}`;
  if (hex === undefined || !isDigest(digest)) return undefined;
  return { digest, generation: generation === undefined ? FIRST_GENERATION : Number(generation) };
}

/** How many blobs a store remembers the generation of; the least recently used goes first. */
const REMEMBERED = 10_000;

/** In which generation blobs were found last. Only for finding them sooner: a store looks again for what is not there any more. */
export class FoundGenerations {
  readonly #generations = new Map<Digest, number>();

  get(digest: Digest): number {
    const generation = this.#generations.get(digest);
    if (generation === undefined) return FIRST_GENERATION;
    this.#generations.delete(digest);
    this.#generations.set(digest, generation);
    return generation;
  }

  set(digest: Digest, generation: number): void {
    this.#generations.delete(digest);
    if (generation === FIRST_GENERATION) return;
    this.#generations.set(digest, generation);
    if (this.#generations.size <= REMEMBERED) return;
    const oldest = this.#generations.keys().next();
    if (oldest.done !== true) this.#generations.delete(oldest.value);
  }
}
