import { Problem } from "../http/problem.ts";
import type { TokenAccess } from "../record/command.ts";
import { type CanonicalRepository, canonicalRepository } from "./names.ts";
import { REGISTRY_ACTIONS, type RegistryAction } from "./roles.ts";

/** Scopes one token request may name: a push that mounts from several repositories asks for five or so. */
const MAX_SCOPES = 16;

/** `repository:` + 255 characters + actions, and room to spare. */
const MAX_SCOPE_LENGTH = 512;

/** What a client asks for in one repository. */
export interface RequestedAccess extends CanonicalRepository {
  readonly actions: ReadonlySet<RegistryAction>;
}

/**
 * Reads the scopes of a token request (Docker token authentication, "Token scope"): `type:name:actions`, several separated by spaces or
 * as repeated parameters. The name may hold colons, so actions are split off from the right. Names become canonical before anybody
 * is asked whether they are allowed. What this registry does not know (other types, other actions, names out of grammar) is ignored:
 * asking for more than is granted is no error.
 *
 * @throws Problem 400 `scope-invalid` beyond {@link MAX_SCOPES} or {@link MAX_SCOPE_LENGTH}.
 */
export function parseScopes(values: readonly string[], defaultOrg: string): RequestedAccess[] {
  const scopes = values.flatMap((value) => value.split(" ")).filter((scope) => scope !== "");
  if (scopes.length > MAX_SCOPES || scopes.some((scope) => scope.length > MAX_SCOPE_LENGTH)) {
    throw new Problem(400, "scope-invalid", "the token request asks for too much at once", {
      hint: `at most ${MAX_SCOPES} scopes of at most ${MAX_SCOPE_LENGTH} characters`,
    });
  }
  const requested = new Map<string, { org: string; repository: string; actions: Set<RegistryAction> }>();
  for (const scope of scopes) {
    const parsed = parseScope(scope, defaultOrg);
    if (parsed === undefined) continue;
    const known = requested.get(parsed.repository) ?? { ...parsed, actions: new Set() };
    for (const action of parsed.actions) known.actions.add(action);
    requested.set(parsed.repository, known);
  }
  return [...requested.values()];
}

function parseScope(scope: string, defaultOrg: string): RequestedAccess | undefined {
  const nameStart = scope.indexOf(":") + 1;
  const nameEnd = scope.lastIndexOf(":");
  if (nameStart === 0 || nameEnd < nameStart || scope.slice(0, nameStart - 1) !== "repository") return undefined;
  const name = canonicalRepository(scope.slice(nameStart, nameEnd), defaultOrg);
  if (name === undefined) return undefined;
  const asked = scope.slice(nameEnd + 1).split(",");
  return {
    ...name,
    actions: new Set(REGISTRY_ACTIONS.filter((action) => asked.includes(action) || asked.includes("*"))),
  };
}

/** What a registry token carries to list repositories (Docker token authentication, `registry:catalog:*`). */
export const CATALOG_ACCESS: TokenAccess = { type: "registry", name: "catalog", actions: ["*"] };

/** Whether a token request asks to list repositories. Which ones it shows, the bearer's roles say when it is used. */
export function asksForCatalog(values: readonly string[]): boolean {
  return values.some((value) => value.split(" ").includes(formatScopes([CATALOG_ACCESS])));
}

/** Access as the `scope` of an OAuth answer (RFC 6749 §5.1). */
export function formatScopes(access: readonly TokenAccess[]): string {
  return access.map((entry) => `${entry.type}:${entry.name}:${entry.actions.join(",")}`).join(" ");
}
