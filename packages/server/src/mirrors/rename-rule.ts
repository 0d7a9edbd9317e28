import type { RenameRule } from "../registry/rename-commands.ts";
import { currentMirror } from "./queries.ts";

/** What mirrors, and when it was last asked about what, goes by a repository's name: neither name may mirror anything when it changes hands. */
export const mirrorRenameRule: RenameRule = async (reader, { from, to }) => {
  const mirror = (await currentMirror(reader, from)) ?? (await currentMirror(reader, to));
  if (mirror === undefined) return undefined;
  return {
    code: "repository-mirrors",
    status: 409,
    message: `${mirror.repository} mirrors ${mirror.url}: a mirror keeps its name`,
    hint: "remove the mirror first; what it brought stays",
  };
};
