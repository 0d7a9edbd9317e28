/**
 * What a command can answer with: 0 yes, 1 no, 2 the command was used wrongly, 3 the answer could not be found out
 * (network, server, file system). Scripts depend on these numbers; nothing else is ever returned.
 */
export const Exit = { yes: 0, no: 1, usage: 2, unknown: 3 } as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** An error meant for the person at the terminal: a stable code, what happened, and what to do about it. */
export class CliError extends Error {
  /** Stable, lower-case with dashes; scripts may match on it. */
  readonly code: string;
  readonly exit: Exit;
  /** What the user can do next, one sentence. */
  readonly hint: string | undefined;

  constructor(code: string, message: string, detail: { exit: Exit; hint?: string | undefined; cause?: unknown }) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = "CliError";
    this.code = code;
    this.exit = detail.exit;
    this.hint = detail.hint;
  }
}

/** The command line itself is wrong: exit 2. */
export function usageError(code: string, message: string, hint?: string): CliError {
  return new CliError(code, message, { exit: Exit.usage, hint });
}

/** The `code` of a Node system error ("ENOENT"), or undefined for anything else. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

const FILE_PROBLEMS: Record<string, readonly [code: string, words: string, hint: string]> = {
  ENOENT: ["file-missing", "does not exist", "Check the path."],
  EACCES: ["file-unreadable", "may not be read", "Check the permissions of the file and of the folders above it."],
  EPERM: ["file-unreadable", "may not be opened", "Check the permissions of the file and of the folders above it."],
  EISDIR: ["file-is-directory", "is a directory", "Name a file, or use --artifact-type dir."],
  ENOTDIR: ["file-not-directory", "is not a directory", "Name a directory, or use --artifact-type file."],
  ELOOP: ["file-link-loop", "is a link that leads nowhere or changed while it was read", "Remove or exclude the link."],
  ENAMETOOLONG: ["file-name-too-long", "has too long a name", "Shorten the path."],
  EEXIST: ["file-exists", "exists already", "Choose another name or remove the file."],
  ENOSPC: ["disk-full", "could not be written, the disk is full", "Make room and try again."],
};

/** Turns an error of the file system into one that names the file and says what is wrong: exit 3. */
export function fileError(path: string, error: unknown): CliError {
  if (error instanceof CliError) return error;
  const system = systemCode(error) ?? "";
  const known = Object.hasOwn(FILE_PROBLEMS, system) ? FILE_PROBLEMS[system] : undefined;
  if (known !== undefined) {
    return new CliError(known[0], `${path} ${known[1]}`, { exit: Exit.unknown, hint: known[2], cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new CliError("file-io", `${path}: ${message}`, { exit: Exit.unknown, cause: error });
}

/**
 * Any thrown value as a CliError. Errors of the packages below carry their own `code` and `hint`; those are kept, and
 * count as "no" only where a verb said so, hence `unknown` here. A reference is only ever written by the user.
 */
export function asCliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  if (!(error instanceof Error)) return new CliError("internal", String(error), { exit: Exit.unknown });
  const code = "code" in error && typeof error.code === "string" ? error.code : "internal";
  const hint = "hint" in error && typeof error.hint === "string" ? error.hint : undefined;
  const exit = code === "reference-invalid" ? Exit.usage : Exit.unknown;
  return new CliError(code, error.message, { exit, hint, cause: error });
}
