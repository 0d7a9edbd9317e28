import { mirrorId } from "../access/names.ts";
import type { PushRule } from "../registry/push-rule.ts";
import { isEvidenceTag } from "../registry/tag-rules.ts";
import { currentMirror } from "./queries.ts";

/**
 * What a mirror holds is what its upstream has: nobody else sets its tags or adds manifests. What is about them is another matter: an
 * organisation signs and describes what it mirrors, as referrers or under cosign's tags, where evidence may be written.
 */
export const mirrorPushRule: PushRule = async (reader, { repository, actor, tags, hasSubject, mayRun }) => {
  const mirror = await currentMirror(reader, repository);
  if (actor.credential.kind === "mirror") {
    // One that was removed while it was bringing something brings no more.
    if (mirror !== undefined && actor.id === mirrorId(repository)) return undefined;
    return { code: "mirror-removed", status: 409, message: `${repository} mirrors nothing any more` };
  }
  if (mirror === undefined) return undefined;
  if (!mayRun && tags.every(isEvidenceTag) && (hasSubject || tags.length > 0)) return undefined;
  return {
    code: "repository-mirrors",
    status: 403,
    message: `${repository} mirrors ${mirror.url}: what it holds comes from there`,
    hint: "push to another repository; signatures and attestations about what is here can be pushed",
  };
};
