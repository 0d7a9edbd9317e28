import { randomBytes } from "node:crypto";
import {
  type Crypto,
  cosigners,
  EvidenceError,
  formatVkey,
  isQuorum,
  openWitnessed,
  parseVkey,
  type PolicyWitness,
} from "@assay/evidence";
import { witnessedCheckpointPath } from "../log/check.ts";
import type { CheckpointFile } from "../log/checkpoint-file.ts";
import { BEHIND } from "../log/log.ts";
import type { LogProver, PublishedTree } from "../log/prover.ts";
import type { RecordClient } from "../record/client.ts";
import type { Reader } from "../storage/database.ts";
import { readIfThere } from "../storage/durable.ts";
import { type Answer, askWitness, type GivenCosignature } from "./ask.ts";
import type { WitnessAnswer } from "./operations.ts";
import type { Endpoint, WitnessPolicy } from "./policy-file.ts";
import { newestWitnessed, turnOf, witnessAnswers } from "./queries.ts";
import type { WitnessTables } from "./schema.ts";
import { behind, committedSize, namesOf } from "./start-check.ts";

/** How often a process looks whether there is something to be witnessed, ms. */
const LOOK_MS = 500;

/** Between two rounds of asking, ms: what is published in the meantime is witnessed together. */
const ROUND_MS = 2_000;

/** The longest wait after a round without a quorum, ms. */
const PATIENCE_MS = 30_000;

/** How long one witness may take to answer, and a whole round, and for how long a process holds its turn, ms. */
const ANSWER_MS = 10_000;
const ROUND_LIMIT_MS = 25_000;
const TURN_MS = 30_000;

/** A witness is told its own size and asked again this often in a round. */
const ATTEMPTS = 3;

/** Characters of an answer that are kept. */
const MESSAGE_LENGTH = 500;

/** What hears of rounds. */
export interface WitnessLogger {
  info(detail: object, message: string): void;
  warn(detail: object, message: string): void;
  error(detail: object, message: string): void;
}

/** What is wrong with the witnessing of our own log, for whoever watches. */
export interface WitnessAlarm {
  /** Since when, ms, a published checkpoint has waited for a quorum for longer than it should; undefined when none has. */
  readonly lateSince: number | undefined;
  /** Witnesses that say they have seen another history, or more of this one than the database holds. */
  readonly contradicted: readonly string[];
}

export interface WitnessRoundsOptions {
  readonly policy: WitnessPolicy;
  readonly prover: LogProver;
  readonly record: Pick<RecordClient, "operate">;
  readonly reader: Reader;
  readonly crypto: Crypto;
  readonly files: CheckpointFile;
  readonly lateMs: number;
  readonly log: WitnessLogger;
  /** Told at each look. */
  readonly tell: (state: { readonly late: boolean; readonly contradicted: number; readonly witnessed: number }) => void;
}

/** Asked, and what came of it; `size` is set when it cosigned. */
interface Asked {
  readonly endpoint: Endpoint;
  readonly outcome: WitnessAnswer["outcome"];
  readonly message: string;
  readonly cosignatures: readonly GivenCosignature[];
}

/**
 * Has the published checkpoints of our log cosigned. Of all processes on all hosts one asks at a time; what it gets they all put into
 * their own directories.
 *
 * A round asks every witness about one and the same checkpoint, so that the cosignatures add up. The note with a quorum's cosignatures
 * is durable, in the database and then in the directory, before anybody is shown it; an older one never takes its place.
 */
export class WitnessRounds {
  readonly #options: WitnessRoundsOptions;
  readonly #holder = randomBytes(9).toString("base64url");
  /** The sizes witnesses last told, by URL: where the next proof starts. */
  readonly #sizes = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stop = new AbortController();
  /** The next round is not before this, and how many rounds in a row brought no quorum. */
  #next = 0;
  #failures = 0;
  /** A published size that no quorum had cosigned when it was first seen, and when that was, ms. */
  #waiting: { readonly size: number; readonly since: number } | undefined;
  #late = false;
  #held: { readonly note: string; readonly size: number } | undefined;
  #said = "";

  constructor(options: WitnessRoundsOptions) {
    this.#options = options;
    for (const { witness, reason } of options.policy.unasked) {
      options.log.warn({ witness: witness.name }, `a witness of the policy is not asked: ${reason}`);
    }
  }

  start(): void {
    this.#schedule();
  }

  /** Ends what is under way. What was not told is asked again by the next to start. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort();
    await this.#looking;
    clearTimeout(this.#timer);
  }

  /** What somebody should look at. */
  async alarm(): Promise<WitnessAlarm> {
    const { lateMs, policy, reader } = this.#options;
    const waiting = this.#waiting;
    const answers = await witnessAnswers(reader);
    const contradicted = policy.endpoints
      .flatMap(({ witnesses }) => witnesses)
      .filter((witness) => contradicts(answers.get(vkeyOf(witness))))
      .map(({ name }) => name);
    const late = waiting !== undefined && Date.now() - waiting.since > lateMs;
    return { lateSince: late ? waiting.since : undefined, contradicted };
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => this.#schedule());
    }, LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    try {
      const tree = await this.#options.prover.newest();
      if (tree === undefined) return;
      const held = await this.#takeIn(tree.size);
      await this.#watch(tree.size, held);
      if (held >= tree.size || performance.now() < this.#next) return;
      const turn = await turnOf(this.#options.reader, this.#options.prover.origin);
      // A turn that a stopped process holds ends by the writer's clock; this only saves asking for it again and again.
      if (turn !== undefined && turn.holder !== this.#holder && turn.until > Date.now()) return;
      const body = { log: this.#options.prover.origin, holder: this.#holder, leaseMs: TURN_MS };
      if ((await this.#options.record.operate("witness.take-turn", body)) !== true) return;
      let told = false;
      try {
        told = await this.#round(tree);
      } finally {
        // Whatever became of the round, the turn is given back: the next process, or this one started again, does not wait for its end.
        if (!told) await this.#report([], undefined);
      }
      this.#said = "";
    } catch (error) {
      // Nothing is lost by being late, and being late is what is watched. The same trouble is told once.
      const message = error instanceof Error ? error.message : String(error);
      if (message !== this.#said && !this.#stop.signal.aborted) {
        this.#options.log.error({ err: error }, "the witnesses could not be asked");
      }
      this.#said = message;
      this.#next = performance.now() + ROUND_MS;
    }
  }

  /**
   * The size of the newest checkpoint in this directory that a quorum of the policy has cosigned, after taking in what other processes
   * got; -1 when there is none. What lies there under a policy that no longer holds counts for nothing.
   *
   * INVARIANT: nothing is put there whose tiles are not: its size is at most the published one.
   */
  async #takeIn(published: number): Promise<number> {
    const { prover, reader } = this.#options;
    const path = witnessedCheckpointPath(prover.files.directory);
    const own = await this.#sizeOf(await readIfThere(path));
    const newest = await newestWitnessed(reader, prover.origin);
    if (newest === undefined || newest.size <= own || newest.size > published) return own;
    const size = await this.#sizeOf(newest.note);
    if (size > own) this.#options.files.advance(path, newest.note, 0o644, "same-size-too");
    return Math.max(size, own);
  }

  /** The size of a note that a quorum cosigned; -1 when it is none. */
  async #sizeOf(note: string | undefined): Promise<number> {
    if (note === undefined) return -1;
    if (this.#held?.note === note) return this.#held.size;
    const { crypto, policy, prover } = this.#options;
    let size = -1;
    try {
      const opened = await openWitnessed(crypto, note, policy.policy, [parseVkey(prover.vkey)]);
      if (opened.checkpoint.origin === prover.origin) size = opened.checkpoint.size;
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
    }
    this.#held = { note, size };
    return size;
  }

  /** Raises the alarm when a quorum is late, and ends it. */
  async #watch(published: number, witnessed: number): Promise<void> {
    const { log, lateMs, tell } = this.#options;
    if (witnessed >= published) this.#waiting = undefined;
    else if (this.#waiting === undefined || witnessed >= this.#waiting.size) {
      this.#waiting = { size: published, since: Date.now() };
    }
    const { lateSince, contradicted } = await this.alarm();
    const late = lateSince !== undefined;
    if (late && !this.#late) {
      const since = new Date(lateSince).toISOString();
      log.error(
        { since, published, witnessed, limitMs: lateMs },
        "no quorum of witnesses has cosigned the record in time",
      );
    } else if (!late && this.#late) {
      log.info({ published, witnessed }, "a quorum of witnesses has cosigned the record again");
    }
    this.#late = late;
    tell({ late, contradicted: contradicted.length, witnessed: Math.max(witnessed, 0) });
  }

  /** Asks every witness about one checkpoint. @returns whether it was told what came of it. */
  async #round(tree: PublishedTree): Promise<boolean> {
    const { policy, prover, record, crypto } = this.#options;
    const limit = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ROUND_LIMIT_MS)]);
    const before = await witnessAnswers(this.#options.reader);
    const asked = await Promise.all(policy.endpoints.map((endpoint) => this.#ask(endpoint, tree, limit)));
    if (this.#stop.signal.aborted) return false;

    const cosignatures = asked.flatMap((each) => each.cosignatures);
    const names = cosignatures.map(({ witness }) => witness.name);
    let note: string | undefined;
    if (isQuorum(policy.policy, new Set(names))) {
      note = tree.note + cosignatures.map(({ line }) => `${line}\n`).join("");
      // Checked as a reader will check it, before anybody is shown it.
      const opened = await openWitnessed(crypto, note, policy.policy, [parseVkey(prover.vkey)]);
      if (!isQuorum(policy.policy, cosigners(policy.policy, opened.cosignatures))) note = undefined;
    }
    for (const each of asked) this.#tellOf(each, before);
    const answers = asked.flatMap((each) => answersOf(each, tree.size));
    await this.#report(answers, note === undefined ? undefined : { size: tree.size, note });
    if (note !== undefined) {
      const path = witnessedCheckpointPath(prover.files.directory);
      this.#options.files.advance(path, note, 0o644, "same-size-too");
    }
    this.#failures = note === undefined ? this.#failures + 1 : 0;
    this.#next = performance.now() + Math.min(ROUND_MS * 2 ** Math.min(this.#failures, 10), PATIENCE_MS);
    const seen = asked.find(({ outcome }) => outcome === "behind");
    if (seen !== undefined) await record.operate("record.halt", { message: seen.message, hint: BEHIND });
    return true;
  }

  /** Tells every process what came of this one's turn, and ends it. */
  async #report(answers: WitnessAnswer[], witnessed: { size: number; note: string } | undefined): Promise<void> {
    await this.#options.record.operate("witness.report", {
      log: this.#options.prover.origin,
      holder: this.#holder,
      answers,
      witnessed: witnessed ?? null,
    });
  }

  /** Asks one witness, from the size it cosigned last. */
  async #ask(endpoint: Endpoint, tree: PublishedTree, limit: AbortSignal): Promise<Asked> {
    const { crypto, prover, reader } = this.#options;
    const asked = (outcome: Asked["outcome"], message: string): Asked => ({
      endpoint,
      outcome,
      message,
      cosignatures: [],
    });
    let old = Math.min(this.#sizes.get(endpoint.url) ?? 0, tree.size);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      const signal = AbortSignal.any([limit, AbortSignal.timeout(ANSWER_MS)]);
      const request = { old, proof: old === 0 ? [] : tree.consistency(old), note: tree.note };
      const answer: Answer = await askWitness(crypto, endpoint, request, signal);
      switch (answer.kind) {
        case "cosigned":
          this.#sizes.set(endpoint.url, tree.size);
          return { endpoint, outcome: "cosigned", message: "", cosignatures: answer.cosignatures };
        case "conflict": {
          if (answer.size > tree.size) {
            // Another host may have published further than this directory; only more than the database holds is an alarm.
            const held = await committedSize(reader, prover.name);
            return answer.size > held
              ? asked("behind", behind(endpoint, prover.origin, answer.size, held).message)
              : asked("refused", `it has cosigned ${answer.size} entries already`);
          }
          old = answer.size;
          this.#sizes.set(endpoint.url, old);
          break;
        }
        default:
          return asked(answer.kind, answer.message);
      }
    }
    return asked("refused", `it answers 409 to the very size it names (${old})`);
  }

  /** Says what has changed since a witness was asked before. */
  #tellOf({ endpoint, outcome, message }: Asked, before: ReadonlyMap<string, WitnessTables["witness_answer"]>): void {
    const former = endpoint.witnesses.map((witness) => before.get(vkeyOf(witness))?.outcome)[0];
    if (former === outcome || (former === undefined && outcome === "cosigned")) return;
    const detail = { witness: namesOf(endpoint), outcome, answer: message };
    if (outcome === "cosigned") this.#options.log.info(detail, "a witness cosigns again");
    else if (outcome === "inconsistent" || outcome === "behind") {
      this.#options.log.error(detail, "A WITNESS CONTRADICTS THIS RECORD: it was rewritten, or it is an older copy");
    } else this.#options.log.warn(detail, "a witness did not cosign");
  }
}

function contradicts(answer: WitnessTables["witness_answer"] | undefined): boolean {
  return answer?.outcome === "inconsistent" || answer?.outcome === "behind";
}

/** A witness's verifier key as text: what its answers are kept under. */
export function vkeyOf({ key }: PolicyWitness): string {
  return formatVkey(key.name, key.algorithm, key.publicKey);
}

function answersOf({ endpoint, outcome, message, cosignatures }: Asked, size: number): WitnessAnswer[] {
  return endpoint.witnesses.map((witness) => {
    const given = cosignatures.find((each) => each.witness === witness);
    const missing = outcome === "cosigned" && given === undefined;
    return {
      vkey: vkeyOf(witness),
      outcome: missing ? "refused" : outcome,
      message: (missing ? "its answer holds no cosignature by this key" : message).slice(0, MESSAGE_LENGTH),
      size: given === undefined ? null : size,
      cosigned: given?.time ?? null,
    };
  });
}
