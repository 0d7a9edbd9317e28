import type { Actor, Refusal } from "../record/command.ts";
import type { Reader } from "../storage/database.ts";

/** A push as rooms above the registry are asked about it. */
export interface AskedPush {
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  readonly actor: Actor;
  /** The tags it sets. */
  readonly tags: readonly string[];
  /** Whether the manifest is about another one. */
  readonly hasSubject: boolean;
  /** Whether it is, by its types, something that is run, whatever it is about (runnable.ts). */
  readonly mayRun: boolean;
}

/**
 * Why a push that the actor's role allows is refused all the same; undefined when it is not. The registry declares it, and the composition
 * fills it from the rooms above. It is asked inside the appending transaction, over the tables alone.
 */
export type PushRule = (reader: Reader, push: AskedPush) => Promise<Refusal | undefined>;
