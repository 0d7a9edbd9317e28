import { parseJson } from "@assay/evidence";
import type { Selectable } from "kysely";
import { z } from "zod";
import { repositoryPatternSchema } from "./repository-pattern.ts";
import { type Action, REGISTRY_ACTIONS, type RegistryAction } from "./roles.ts";
import type { AccessTables } from "./schema.ts";

/** Patterns one key is bound to at most. */
const MAX_REPOSITORIES = 50;

/** What an API key of a robot is bound to: in these repositories, these things, whatever more its owner may. */
export const keyScopeSchema = z.strictObject({
  repositories: z
    .array(repositoryPatternSchema)
    .min(1)
    .max(MAX_REPOSITORIES)
    .describe("The repositories it is good in, by whole names."),
  actions: z
    .array(z.enum(REGISTRY_ACTIONS))
    .min(1)
    .refine((actions) => new Set(actions).size === actions.length, "names an action twice")
    .describe("What it is good for there: `push` gives evidence too, `pull` reads it."),
});

export type KeyScope = z.output<typeof keyScopeSchema>;

/** THE table: what a bound key's action lets its bearer ask for. Nothing of the organisation's is in it, and no rights over keys. */
const SCOPE_ACTIONS: Readonly<Record<RegistryAction, ReadonlySet<Action>>> = {
  pull: new Set<Action>(["registry.pull", "registry.list", "evidence.read"]),
  push: new Set<Action>(["registry.push", "evidence.write", "decision.make"]),
  delete: new Set<Action>(["registry.delete"]),
};

/** Whether a bound key is good for an action at all; in which repositories is another question. */
export function scopeAllows(scope: KeyScope, action: Action): boolean {
  return scope.actions.some((granted) => SCOPE_ACTIONS[granted].has(action));
}

/** What a key is bound to; undefined: it is good for whatever its owner may. Written by our own projection, read for ever. */
export function scopeOfKey(row: Pick<Selectable<AccessTables["api_key"]>, "scope">): KeyScope | undefined {
  if (row.scope === null) return undefined;
  return keyScopeSchema.parse(parseJson(Buffer.from(row.scope, "utf8"), { maxBytes: 64 * 1024, maxDepth: 4 }));
}
