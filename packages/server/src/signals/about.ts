import type { FastifyRequest } from "fastify";

/** What a request turns out to be about, as the rooms that serve it find out. Names and digests only. */
export interface About {
  /** What is done, as one of a fixed set of names; absent: the route says it. */
  readonly operation?: string;
  readonly org?: string;
  /** Canonical, `org/path`. */
  readonly repository?: string;
  /** The tag it was named by. */
  readonly tag?: string;
  /** `algorithm:hex` of what it is about. */
  readonly digest?: string;
  /** `digest` is a manifest's. */
  readonly manifest?: boolean;
  /** The digest of a piece of evidence. */
  readonly attestation?: string;
  /** What a token was given out for, as its scopes are written. */
  readonly granted?: string;
}

/** Where it stands at a request: a map of all of them would cost the collector of garbage more than what it is for. */
const ABOUT = Symbol("about");

type Noted = FastifyRequest & { [ABOUT]?: About };

/** Says something of a request under way. What is said later of the same counts. */
export function note(request: FastifyRequest, about: About): void {
  const noted: Noted = request;
  noted[ABOUT] = Object.assign(noted[ABOUT] ?? {}, about);
}

const DIGEST = /^[a-z0-9]{1,32}:[0-9a-f]{64,128}$/;
const NAME = /^[a-z0-9][a-z0-9._/-]{0,254}$/;

/**
 * What was said of a request; and of routes that say nothing, what their path and body name. A text that is not in the grammar of what it
 * would be is left out: nothing unbounded, and no secret, gets any further.
 */
export function aboutOf(request: FastifyRequest): About {
  const found: Record<string, string> = {};
  for (const source of [request.body, request.params]) {
    if (typeof source !== "object" || source === null) continue;
    for (const [field, grammar] of [
      ["org", NAME],
      ["repository", NAME],
      ["digest", DIGEST],
    ] as const) {
      const value: unknown = Object.hasOwn(source, field) ? Reflect.get(source, field) : undefined;
      if (typeof value === "string" && grammar.test(value)) found[field] = value;
    }
  }
  return Object.assign(found, (request as Noted)[ABOUT]);
}
