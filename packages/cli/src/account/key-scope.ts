import { type Command, InvalidArgumentError, Option } from "commander";
import type { AnswerObject } from "../answer.ts";
import { usageError } from "../errors.ts";
import { repositoryPattern } from "./repository.ts";

const ALLOWED = ["pull", "push", "delete"] as const;

/** What a key is bound to, as the command line says it. */
export interface ScopeOptions {
  readonly repository: readonly string[];
  readonly allow: readonly string[];
}

/** The options that bind a key. */
export function withScope(command: Command): Command {
  const gather = (value: string, before: string[]): string[] => [...before, value];
  return command
    .option(
      "--repository <pattern>",
      "for a robot: good in these repositories only: app, 'team/*' (one component), 'team/**' (any number) (several)",
      gather,
      [],
    )
    .addOption(
      new Option("--allow <action>", `and for these things only (several): ${ALLOWED.join(", ")}`)
        .argParser((value: string, before: string[]) => gather(allowed(value), before))
        .default([], "pull and push"),
    );
}

function allowed(text: string): string {
  if (!ALLOWED.some((one) => one === text)) throw new InvalidArgumentError(`is one of ${ALLOWED.join(", ")}.`);
  return text;
}

/** What a key is bound to, as the server wants it; undefined: to nothing. @param org of the repositories, asked for where there are any. */
export async function scopeOf(
  org: () => Promise<string>,
  { repository, allow }: ScopeOptions,
): Promise<{ repositories: string[]; actions: string[] } | undefined> {
  if (repository.length === 0) {
    if (allow.length === 0) return undefined;
    throw usageError(
      "usage",
      "--allow goes with --repository: a key is bound to repositories, and to what is done there",
    );
  }
  const whose = await org();
  const actions = allow.length === 0 ? ["pull", "push"] : [...new Set(allow)];
  return { repositories: [...new Set(repository.map((one) => repositoryPattern(whose, one)))], actions };
}

/** What a key of an answer is bound to, in words; undefined: to nothing. */
export function boundTo(key: AnswerObject): string | undefined {
  if (key.raw("scope") === null) return undefined;
  const scope = key.object("scope");
  return `${scope.texts("actions").join(", ")} in ${scope.texts("repositories").join(", ")}`;
}
