import type { JsonValue } from "@assay/evidence";
import type { z } from "zod";
import type { ServerError } from "../errors.ts";
import type { Reader, Transactor } from "../storage/database.ts";

/** A JSON object: what bodies of commands and events are made of. */
export type JsonObject = { [key: string]: JsonValue };

/** One permission a registry token carries (Docker token specification, `access` claim). */
export interface TokenAccess {
  readonly type: string;
  readonly name: string;
  readonly actions: string[];
}

/** Who asks, and by which credential: what authorisation inside the transaction rests on. */
export interface Actor {
  /** `admin`, `person:<name>`, `service:<name>`, `system`, or `mirror:<repository>`. */
  readonly id: string;
  readonly credential: {
    readonly kind: "admin-token" | "api-key" | "registry-token" | "workload-token" | "system" | "mirror";
    /** The API key's id, where one was used; of a registry token, that of the key it was bought with. */
    readonly id?: string;
    /**
     * The workload identity of the actor's organisation that a token was exchanged under, and the event that set it as it then was: a
     * token holds under that one only, and in its repositories.
     */
    readonly workload?: { readonly name: string; readonly since: number };
    /** When a workload token ends, ms: what is made with it ends no later. */
    readonly expires?: number;
    /** What a registry token was narrowed to. */
    readonly access?: TokenAccess[];
    /** Of a mirror: the event that set it as it then was. It brings what is there under that setting, and under no other. */
    readonly setting?: number;
    /** The revocation epoch a registry token was issued under. */
    readonly epoch?: number;
  };
}

/** The service itself, for the facts it records on its own behalf. */
export const SYSTEM_ACTOR: Actor = { id: "system", credential: { kind: "system" } };

/** The organisation that owns the service's own events. Its name cannot be an organisation's name (leading underscore). */
export const SYSTEM_ORG = "_system";

/** A request to change something: plain data, because it crosses to the writer thread. */
export interface Command {
  readonly type: string;
  readonly org: string;
  readonly actor: Actor;
  readonly body: JsonObject;
}

/** Why a command was not accepted. Nothing changed. */
export interface Refusal {
  /** Stable, kebab-case. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** The HTTP status that fits; doors with an error form of their own map `code`. */
  readonly status: number;
  readonly detail?: JsonValue;
}

/** A fact to record: what a command's decision comes to. */
export interface NewEvent {
  readonly type: string;
  /** Defaults to the command's organisation. */
  readonly org?: string;
  readonly body: JsonObject;
}

export type Decided =
  | { readonly accepted: true; readonly events: NewEvent[]; readonly result: JsonValue }
  | { readonly accepted: false; readonly refusal: Refusal };

/** The command holds: record these events (none, when it asks for what is so already) and answer `result`. */
export function accept(events: NewEvent[], result: JsonValue = null): Decided {
  return { accepted: true, events, result };
}

/** The command does not hold: record nothing. `status` defaults to 409. */
export function refuse(
  code: string,
  message: string,
  options: { status?: number; hint?: string; detail?: JsonValue } = {},
): Decided {
  return {
    accepted: false,
    refusal: {
      code,
      message,
      status: options.status ?? 409,
      ...(options.hint === undefined ? {} : { hint: options.hint }),
      ...(options.detail === undefined ? {} : { detail: options.detail }),
    },
  };
}

/** What a decision may know besides the tables. */
export interface DecideContext {
  readonly actor: Actor;
  readonly org: string;
  /** The time its events will carry, ms: max(previous event, database clock). */
  readonly time: number;
  /** The sequence its first event will have. */
  readonly sequence: number;
}

/** A kind of command: the shape of its body and how it is decided, inside the appending transaction. */
export interface CommandDefinition {
  readonly type: string;
  readonly body: z.ZodType;
  /** Whether it reads the organisations' heads, which are otherwise written once, at the end of a batch. */
  readonly readsHeads?: true;
  decide(reader: Reader, body: never, context: DecideContext): Promise<Decided>;
}

/** Defines a command; `decide` gets the body as its schema types it. It reads tables and nothing else. */
export function defineCommand<S extends z.ZodType>(definition: {
  type: string;
  body: S;
  readsHeads?: true;
  decide: (reader: Reader, body: z.output<S>, context: DecideContext) => Promise<Decided>;
}): CommandDefinition {
  return definition;
}

/** A recorded fact, decoded. */
export interface RecordedEvent<B = JsonObject> {
  readonly sequence: number;
  readonly org: string;
  readonly orgSequence: number;
  readonly type: string;
  readonly actor: string;
  readonly time: number;
  readonly body: B;
}

/** Whether `replacement` may stand in the place of `former`: of the same shape, so that all that reads it still can. */
export type SameShape = (replacement: string, former: string) => boolean;

/** A kind of fact: the shape of its body at its newest version, how older versions are lifted, and what it does to the tables. */
export interface EventDefinition {
  readonly type: string;
  readonly version: number;
  readonly body: z.ZodType;
  /** upcast[n] lifts a body of version n to n + 1; pure. Present for each version below the newest. */
  readonly upcast: Readonly<Record<number, (body: JsonObject) => JsonObject>>;
  /**
   * The strings of the body that may be redacted, as JSON pointers (`*` for any one member or element), each with what may take its
   * place. Nothing else ever may, and nothing at all where this is absent: what verification and access rest on (digests, keys, roles,
   * trust, decisions, the record's own facts) stands as it was recorded.
   */
  readonly redactable?: Readonly<Record<string, SameShape>>;
  project(transactor: Transactor, event: RecordedEvent<never>): Promise<void>;
}

/** Defines an event. `project` reads earlier events and tables only: no clock, configuration, network or blob. */
export function defineEvent<S extends z.ZodType>(definition: {
  type: string;
  version: number;
  body: S;
  upcast?: Readonly<Record<number, (body: JsonObject) => JsonObject>>;
  redactable?: Readonly<Record<string, SameShape>>;
  project: (transactor: Transactor, event: RecordedEvent<z.output<S>>) => Promise<void>;
}): EventDefinition {
  return { upcast: {}, ...definition };
}

/** A change of state that is no fact: leases, upload sessions, counters (the tables of storage/unrecorded.ts). */
export interface OperationDefinition {
  readonly type: string;
  readonly body: z.ZodType;
  run(transactor: Transactor, body: never, context: OperationContext): Promise<JsonValue>;
}

/** What an operation may know and do besides the tables. */
export interface OperationContext {
  /** The writer's time, ms. */
  readonly time: number;
  /** What keeps the log's newest entries from being published; undefined while nothing does. */
  readonly trouble: { readonly since: number; readonly problem: string } | undefined;
  /** Ends all writing and signing of this process: whoever asks for either gets `reason`, until it is started again. */
  readonly halt: (reason: ServerError) => void;
}

/** Defines an operation; it shares the writer's transaction and its durability, and records nothing. */
export function defineOperation<S extends z.ZodType>(definition: {
  type: string;
  body: S;
  run: (transactor: Transactor, body: z.output<S>, context: OperationContext) => Promise<JsonValue>;
}): OperationDefinition {
  return definition;
}

/** A room's part of the record. `app.ts` and `writer.ts` compose the same list. */
export type RecordPart = PartOfRecord & (NamesBlobs | NamesNoBlobs);

interface PartOfRecord {
  readonly commands: readonly CommandDefinition[];
  readonly events: readonly EventDefinition[];
  readonly operations: readonly OperationDefinition[];
  /** The projected tables this room owns: what `rebuild` empties and refills. */
  readonly projections: readonly string[];
  /** The blobs this room's tables know under another digest too, for `check`: where the bytes are there, they must have it. */
  readonly aliases?: (reader: Reader) => AsyncIterable<AliasedBlob>;
}

/** A room whose tables name blobs. What it names is what garbage collection leaves: both are said together. */
interface NamesBlobs {
  /**
   * The blobs this room's tables name, for `check` and backups: each must be in the store.
   *
   * @param asOf those the first `asOf` events name; all when it is not given.
   */
  readonly blobs: (reader: Reader, asOf?: number) => AsyncIterable<NamedBlob>;
  /**
   * Those of some digests (at most 256) whose bytes this room needs: what {@link blobs} names, what it named until lately, and what is
   * leased or under way. Asked inside the transaction that ends the others' bytes: what is left out here is lost.
   */
  readonly keeps: (reader: Reader, digests: readonly string[], at: KeptAt) => Promise<readonly string[]>;
}

interface NamesNoBlobs {
  readonly blobs?: undefined;
  readonly keeps?: undefined;
}

/** What a room is asked about the bytes it needs: the moment, and how long ago an ended fact still counts. */
export interface KeptAt {
  /** ms; leases that end later count. */
  readonly time: number;
  /** Facts that ended at this sequence or later count as if they had not. */
  readonly since: number;
}

/** A blob, another digest that its bytes have (`sha512:…`), and who calls it by that, in words. */
export interface AliasedBlob extends NamedBlob {
  readonly alias: string;
}

/** A blob and what names it, in words. */
export interface NamedBlob {
  readonly digest: string;
  readonly namedBy: string;
}
