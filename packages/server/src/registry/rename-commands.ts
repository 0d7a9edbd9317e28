import { z } from "zod";
import { authorize } from "../access/authorize.ts";
import {
  accept,
  type CommandDefinition,
  type Decided,
  defineCommand,
  type Refusal,
  refuse,
} from "../record/command.ts";
import type { Reader } from "../storage/database.ts";
import { foreignRepository, nameHeld, repositoryUnknown } from "./repository-commands.ts";
import { findRepository, heldRows } from "./repository-queries.ts";

/** Rows (tags, manifests, what they name) that one rename takes along: they are written in one transaction, which everybody waits for. */
export const MOST_RENAMED = 200_000;

/** Names a repository has had, followed back and forth at most. */
const MOST_NAMES = 100;

const name = z.string().max(255);

/**
 * Whether a name may be given to a repository: nobody ever had it, or it had it itself before and goes back. The name of another one that was deleted or
 * renamed is not taken over so.
 */
async function refuseName(reader: Reader, from: string, to: string): Promise<Decided | undefined> {
  const taken = await findRepository(reader, to);
  if (taken === undefined) return undefined;
  if (taken.ended === undefined) return refuse("repository-exists", `there is a repository ${to} already`);
  let { ended } = taken;
  for (let step = 0; step < MOST_NAMES && ended?.as === "renamed" && ended.heir !== null; step += 1) {
    if (ended.heir === from) return undefined;
    const heir = await findRepository(reader, ended.heir);
    if (heir?.ended === undefined) break;
    ({ ended } = heir);
  }
  return nameHeld(taken);
}

/**
 * What rooms above say against a repository's other name, because something of theirs stands by the former one; undefined when nothing does. The
 * registry declares it, and the composition fills it. It is asked inside the appending transaction, over the tables alone.
 */
export type RenameRule = (
  reader: Reader,
  rename: { readonly org: string; readonly from: string; readonly to: string },
) => Promise<Refusal | undefined>;

/** Giving a repository another name. */
export const renameCommands = (rule: RenameRule): readonly CommandDefinition[] => [
  defineCommand({
    type: "registry.rename-repository",
    body: z.strictObject({ from: name, to: name }),
    decide: async (reader, { from, to }, { actor, org }) => {
      const foreign = foreignRepository(org, from) ?? foreignRepository(org, to);
      if (foreign !== undefined) return foreign;
      // Roles, trust and whom webhooks tell speak of names: from one set of rules to another is the organisation's to say.
      const refusal = await authorize(reader, actor, "org.administer", { org });
      if (refusal !== undefined) return { accepted: false, refusal };
      const known = await findRepository(reader, from);
      if (known === undefined || known.ended !== undefined) return repositoryUnknown(from);
      const held = await refuseName(reader, from, to);
      if (held !== undefined) return held;
      const stands = await rule(reader, { org, from, to });
      if (stands !== undefined) return { accepted: false, refusal: stands };
      if ((await heldRows(reader, from)) > MOST_RENAMED) {
        return refuse("repository-too-large", `${from} has more than ${MOST_RENAMED} tags, manifests and references`, {
          status: 422,
          hint: "promote what is needed to a new repository, and delete this one",
        });
      }
      return accept([{ type: "registry.repository-renamed", body: { from, repository: to } }]);
    },
  }),
];
