import type { Digest } from "@assay/evidence";
import { Problem } from "../http/problem.ts";
import type { Actor, Refusal } from "../record/command.ts";
import type { SettledReader } from "../storage/prepared.ts";

/** Somebody who may pull from a repository, and is about to. */
export interface Pull {
  readonly org: string;
  /** The canonical name, `org/path`. */
  readonly repository: string;
  readonly actor: Actor;
  /** What was settled when what is pulled was found, where nothing was waited for since; absent: whoever judges looks by themselves. */
  readonly settled?: SettledReader | undefined;
}

/** Characters of a Warning header's text that are kept. */
const WARNING_LENGTH = 300;

/**
 * Whether what somebody may pull is fit to be pulled: a hook, because who judges stands above the registry. Asked after authorisation and
 * before anything of the bytes is told (their headers, a 304), for GET and HEAD alike, and for a mount out of the repository. Whoever reads a
 * repository's bytes for somebody asks it, by whatever door.
 *
 * What it throws is no answer, and nothing is served on it either.
 */
export interface PullGate {
  /** @returns why the manifest is not served; undefined when it is. */
  manifest(pull: Pull, digest: Digest): Promise<Refusal | undefined>;
  /** @returns why the blob is not served; undefined when it is. */
  blob(pull: Pull, digest: Digest): Promise<Refusal | undefined>;
  /** Whether anything at all stands between a repository and who may pull from it: what is served there may be refused to the next who asks. */
  stands(place: Omit<Pull, "actor">): Promise<boolean>;
}

const UNFILLED: Refusal = {
  code: "pull-gate-missing",
  status: 503,
  message: "nothing here can say whether this may be pulled",
  hint: "this is a fault of the server: nothing is served without a gate",
};

/** The hook that nobody filled: it denies. */
export const CLOSED_GATE: PullGate = {
  manifest: async () => UNFILLED,
  blob: async () => UNFILLED,
  stands: async () => true,
};

/**
 * Lets a pull pass or throws why not.
 *
 * @throws Problem with the refusal. What a HEAD is answered with has no body, so the reason stands in a Warning as well.
 */
export async function requireServed(
  gate: PullGate,
  what: "manifest" | "blob",
  pull: Pull,
  digest: Digest,
): Promise<void> {
  const refusal = await gate[what](pull, digest);
  if (refusal === undefined) return;
  const { status, code, message, hint, detail } = refusal;
  throw new Problem(status, code, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(detail === undefined ? {} : { detail }),
    headers: { warning: warning(message) },
  });
}

/** Printable ASCII of a sentence as a Warning (OCI distribution 1.1, "Warnings"; RFC 7234 §5.5). */
function warning(message: string): string {
  const text = message.replaceAll(/[^ -~]/g, "?").replaceAll(/["\\]/g, "'");
  return `299 - "${text.slice(0, WARNING_LENGTH)}"`;
}
