import { type EgressLimits, guardedRequest } from "./guarded-request.ts";
import { type EgressRules, egressFailed, type Resolve, shownUrl } from "./permitted-place.ts";

export type { EgressLimits } from "./guarded-request.ts";
export type { EgressRules, Resolve } from "./permitted-place.ts";

/**
 * The body of a GET that answers 200. For URLs that come from somebody else: {@link guardedRequest}.
 *
 * @throws ServerError `egress-refused` when the rules forbid to ask; `egress-failed` when there was no good answer in time and size.
 */
export async function guardedGet(
  address: string,
  rules: EgressRules,
  limits: EgressLimits,
  resolve?: Resolve,
): Promise<Uint8Array> {
  const question = {
    method: "GET",
    headers: { accept: "application/json" },
    wantsBody: (code: number) => code === 200,
  } as const;
  const { status, body } = await guardedRequest(address, rules, question, limits, resolve);
  if (status !== 200) {
    const redirects = status >= 300 && status < 400;
    throw egressFailed(
      shownUrl(new URL(address)),
      redirects ? `it redirects (${status}), which is not followed` : `it answered ${status}`,
    );
  }
  return body;
}
