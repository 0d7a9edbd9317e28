import { ServerError } from "../errors.ts";
import type { Reader } from "../storage/database.ts";
import type {
  AliasedBlob,
  CommandDefinition,
  EventDefinition,
  KeptAt,
  NamedBlob,
  OperationDefinition,
  RecordPart,
} from "./command.ts";

/** Every room's part of the record, by name. */
export class RecordParts {
  readonly commands = new Map<string, CommandDefinition>();
  readonly events = new Map<string, EventDefinition>();
  readonly operations = new Map<string, OperationDefinition>();
  /** Projected tables in the order the rooms gave them. */
  readonly projections: string[] = [];
  readonly #blobs: NonNullable<RecordPart["blobs"]>[] = [];
  readonly #keeps: NonNullable<RecordPart["keeps"]>[] = [];
  readonly #aliases: NonNullable<RecordPart["aliases"]>[] = [];

  constructor(parts: readonly RecordPart[]) {
    for (const part of parts) {
      for (const definition of part.commands) RecordParts.#add(this.commands, definition);
      for (const definition of part.events) RecordParts.#add(this.events, definition);
      for (const definition of part.operations) RecordParts.#add(this.operations, definition);
      this.projections.push(...part.projections);
      if (part.blobs !== undefined) {
        this.#blobs.push(part.blobs);
        this.#keeps.push(part.keeps);
      }
      if (part.aliases !== undefined) this.#aliases.push(part.aliases);
    }
  }

  /** Every blob that some room's tables name, as of the first `asOf` events when it is given. */
  async *blobs(reader: Reader, asOf?: number): AsyncIterable<NamedBlob> {
    for (const blobs of this.#blobs) yield* blobs(reader, asOf);
  }

  /** Those of some digests whose bytes some room needs. */
  async keeps(reader: Reader, digests: readonly string[], at: KeptAt): Promise<Set<string>> {
    const kept = new Set<string>();
    for (const keeps of this.#keeps) for (const digest of await keeps(reader, digests, at)) kept.add(digest);
    return kept;
  }

  /** Every blob that some room's tables know under another digest too. */
  async *aliases(reader: Reader): AsyncIterable<AliasedBlob> {
    for (const aliases of this.#aliases) yield* aliases(reader);
  }

  static #add<D extends { type: string }>(map: Map<string, D>, definition: D): void {
    if (map.has(definition.type)) throw new ServerError("internal", `${definition.type} is defined twice`);
    map.set(definition.type, definition);
  }
}
