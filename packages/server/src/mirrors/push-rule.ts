import { mirrorId } from "../access/names.ts";
import type { PushRule } from "../registry/push-rule.ts";
import { resolveTag, tagSetBy } from "../registry/queries.ts";
import { isEvidenceTag } from "../registry/tag-rules.ts";
import { currentMirror } from "./queries.ts";

/**
 * What a mirror holds is what its upstream has: nobody else sets its tags or adds manifests. What is about them is another matter: an
 * organisation signs and describes what it mirrors, as referrers or under cosign's tags, where evidence may be written; and what it keeps
 * under such a tag is its own, and no upstream's to replace.
 */
export const mirrorPushRule: PushRule = async (reader, { repository, actor, tags, hasSubject, mayRun }) => {
  const mirror = await currentMirror(reader, repository);
  if (actor.credential.kind === "mirror") {
    // One that was removed, or set anew, while it was bringing something brings no more: what came is of the upstream as it was set then.
    if (mirror === undefined || actor.id !== mirrorId(repository) || actor.credential.setting !== mirror.from_seq) {
      return { code: "mirror-removed", status: 409, message: `what ${repository} mirrors was removed or set anew` };
    }
    for (const tag of tags) {
      const set = isEvidenceTag(tag) ? await resolveTag(reader, repository, tag) : undefined;
      if (set !== undefined && (await tagSetBy(reader, set.sequence)) !== actor.id) {
        return {
          code: "evidence-tag-taken",
          status: 409,
          message: `the tag ${tag} of ${repository} is not the mirror's`,
        };
      }
    }
    return undefined;
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
