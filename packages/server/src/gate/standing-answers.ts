import { type Digest, parseJson } from "@assay/evidence";
import { newestAbout } from "../attestations/queries.ts";
import { ServerError } from "../errors.ts";
import { Problem } from "../http/problem.ts";
import { type Refusal, SYSTEM_ACTOR } from "../record/command.ts";
import { currentTrustNumber } from "../trust/queries.ts";
import { holdsUntil } from "./answer-age.ts";
import type { GateContext } from "./context.ts";
import { decide } from "./decide.ts";
import { type DecisionShape, decisionSchema } from "./decision-shape.ts";
import { currentPolicy } from "./pull-gate-queries.ts";

/** Answers kept in memory. */
const MOST = 20_000;

/** How long somebody waits for a decision, ms. What is decided later is there for who asks next. */
const PATIENCE_MS = 20_000;

/** Reasons that a refusal shows, and characters of each. */
const REASONS = 20;
const REASON_LENGTH = 500;

/** May this be pulled from here, by this policy as it is now? */
export interface PullQuestion {
  readonly org: string;
  /** Whole name, "org/path". */
  readonly repository: string;
  /** A stored policy, by name. */
  readonly policy: string;
  readonly artifact: Digest;
}

/** A decision that answers. */
export interface Standing {
  /** The recorded decision. */
  readonly id: string;
  /** Why it is not allowed; undefined when it is. */
  readonly refusal: Refusal | undefined;
  /** ms since 1970; from then on it is asked again. */
  readonly until: number;
  /** Whether it was here already: asked again, it is a repeat. */
  readonly repeat: boolean;
}

interface Kept {
  /** Everything the answer rests on besides the clock: while none of it changes, asking again would come to the same. */
  readonly basis: string;
  readonly standing: Standing;
}

/**
 * The decisions that pulls are answered from. Each is made by `decide`, recorded there, and kept here for as long as policy, trust and
 * evidence are what they were: a change of any is seen by the very next question, in every process, because they are read from the
 * database each time. Only the clock is trusted for {@link holdsUntil}.
 */
export class StandingAnswers {
  readonly #context: GateContext;
  readonly #patienceMs: number;
  readonly #kept = new Map<string, Kept>();
  readonly #asked = new Map<string, Promise<Standing>>();

  constructor(context: GateContext, patienceMs: number = PATIENCE_MS) {
    this.#context = context;
    this.#patienceMs = patienceMs;
  }

  /**
   * The decision, old or new.
   *
   * @throws Problem 503 `pull-gate-undecided` when it cannot be made in time or at all; ServerError as `decide` does. Neither is an answer.
   */
  async ask(question: PullQuestion): Promise<Standing> {
    const key = JSON.stringify([question.org, question.repository, question.policy, question.artifact]);
    // INVARIANT: read before the decision reads: what changes in between makes the next question ask again, never this answer too young.
    const basis = await basisOf(this.#context, question);
    const kept = this.#kept.get(key);
    const now = (this.#context.now ?? Date.now)();
    if (kept !== undefined && kept.basis === basis && now < kept.standing.until) return kept.standing;
    // Everybody who asks the same at the same time gets the same answer, made once.
    const name = `${key} ${basis}`;
    let asked = this.#asked.get(name);
    if (asked === undefined) {
      asked = this.#decide(question, key, basis).finally(() => this.#asked.delete(name));
      this.#asked.set(name, asked);
    }
    return await inTime(asked, this.#patienceMs);
  }

  async #decide(question: PullQuestion, key: string, basis: string): Promise<Standing> {
    const { org, artifact, repository, policy } = question;
    const made = await decide(this.#context, SYSTEM_ACTOR, {
      org,
      artifact,
      repository,
      policy: { name: policy },
      trustVersion: undefined,
    }).catch((error: unknown) => {
      // What the server cannot do says so itself; what else stands in the way of a decision leaves it unmade.
      if (error instanceof Problem) throw undecided(error.message, error);
      throw error;
    });
    const decision = decisionSchema.parse(parseJson(made.row.decision));
    const standing: Standing = {
      id: made.row.id,
      refusal: decision.result === "allowed" ? undefined : refusalOf(question, made.row.id, decision),
      until: holdsUntil(made.policy, decision, made.confirmedAt),
      repeat: false,
    };
    this.#kept.delete(key);
    this.#kept.set(key, { basis, standing: { ...standing, repeat: true } });
    if (this.#kept.size > MOST) {
      for (const oldest of this.#kept.keys()) {
        this.#kept.delete(oldest);
        break;
      }
    }
    return standing;
  }
}

/** Everything a decision on this question rests on besides the clock: the policy's version, the trust version, the evidence. */
async function basisOf({ reader }: GateContext, { org, policy, artifact }: PullQuestion): Promise<string> {
  const [version, trust, evidence] = await Promise.all([
    currentPolicy(reader, org, policy),
    currentTrustNumber(reader, org),
    newestAbout(reader, org, artifact),
  ]);
  return JSON.stringify([version?.digest ?? null, trust, evidence ?? null]);
}

function undecided(why: string, cause?: unknown): Problem {
  return new Problem(503, "pull-gate-undecided", `whether this may be pulled could not be decided: ${why}`, {
    hint: "nothing is served undecided: try again",
    headers: { "retry-after": "5" },
    ...(cause === undefined ? {} : { cause }),
  });
}

async function inTime<T>(asked: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(undecided("it takes too long")), ms);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}

function refusalOf(question: PullQuestion, id: string, decision: DecisionShape): Refusal {
  const { repository, artifact, policy } = question;
  if (decision.result === "allowed") throw new ServerError("internal", "an allowed decision is no refusal");
  const reasons = decision.rules.flatMap((rule, at) =>
    rule.outcome === "satisfied" ? [] : [(decision.reasons[at] ?? rule.rule).slice(0, REASON_LENGTH)],
  );
  const [first] = reasons;
  return {
    code: "pull-denied",
    status: 403,
    message: `policy ${policy} does not allow ${artifact} to be pulled from ${repository}${first === undefined ? "" : `: ${first}`}`,
    detail: {
      reason: "pull-denied",
      artifact,
      policy: { name: policy, digest: decision.policy.digest },
      trust: decision.trust.version,
      decision: id,
      reasons: reasons.slice(0, REASONS),
      ...(reasons.length > REASONS ? { reasonsNotShown: reasons.length - REASONS } : {}),
    },
  };
}
