import type { JsonValue } from "@assay/evidence";

/**
 * What a request is answered with when it cannot be done: thrown by route code, turned into bytes by the error form of the door
 * it came through (the OCI form under /v2/, Assay's own elsewhere).
 */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly hint: string | undefined;
  readonly detail: JsonValue | undefined;
  /** Extra answer headers, e.g. WWW-Authenticate. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { hint?: string; detail?: JsonValue; headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Problem";
    this.status = status;
    this.code = code;
    this.hint = options.hint;
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }

  /** A refused command (record/command.ts) as a problem. */
  static fromRefusal(refusal: {
    readonly code: string;
    readonly message: string;
    readonly status: number;
    readonly hint?: string;
    readonly detail?: JsonValue;
  }): Problem {
    return new Problem(refusal.status, refusal.code, refusal.message, {
      ...(refusal.hint === undefined ? {} : { hint: refusal.hint }),
      ...(refusal.detail === undefined ? {} : { detail: refusal.detail }),
    });
  }
}

/** The body of an error in Assay's own API. */
export interface ProblemBody {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly detail?: JsonValue;
  };
}

/** The own API's form of a problem. */
export function problemBody(problem: Problem): ProblemBody {
  return {
    error: {
      code: problem.code,
      message: problem.message,
      ...(problem.hint === undefined ? {} : { hint: problem.hint }),
      ...(problem.detail === undefined ? {} : { detail: problem.detail }),
    },
  };
}
