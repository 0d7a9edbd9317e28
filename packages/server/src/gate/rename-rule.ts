import { matchesRepository } from "@assay/evidence";
import type { RenameRule } from "../registry/rename-commands.ts";
import { pullGates } from "./pull-gate-queries.ts";

/**
 * A pull gate stands over names. A repository does not leave it by getting another one: the new name must be under a gate that asks for the same.
 */
export const gateRenameRule: RenameRule = async (reader, { org, from, to }) => {
  const gates = await pullGates(reader, org);
  const under = gates.filter((gate) => matchesRepository([gate.repository], to));
  const left = gates.find(
    (gate) =>
      matchesRepository([gate.repository], from) &&
      !under.some(({ policy, platforms }) => policy === gate.policy && platforms === gate.platforms),
  );
  if (left === undefined) return undefined;
  return {
    code: "repository-gated",
    status: 409,
    message: `${from} is under the pull gate ${left.repository} with the policy ${left.policy}, and ${to} would be under none like it`,
    hint: `assay gate set ${to.slice(org.length + 1)} --policy ${left.policy}${left.platforms === "own" ? "" : ` --platforms ${left.platforms}`}`,
    detail: { gate: left.repository, policy: left.policy, platforms: left.platforms },
  };
};
