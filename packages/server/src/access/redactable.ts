import type { SameShape } from "../record/command.ts";
import { nameSchema, parsePrincipal } from "./names.ts";

/** What may stand in the place of a name that is redacted: another name of the grammar. */
export const sameName: SameShape = (replacement) => nameSchema.safeParse(replacement).success;

/** What may stand in the place of a principal that is redacted: another of the same kind and place. */
export const samePrincipal: SameShape = (replacement, former) => {
  const [to, from] = [parsePrincipal(replacement), parsePrincipal(former)];
  if (to === undefined || from === undefined) return false;
  return to.kind === "service" ? from.kind === "service" && to.org === from.org : from.kind === "person";
};
