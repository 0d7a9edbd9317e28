import { usageError } from "../errors.ts";
import { askSecret } from "../prompt.ts";
import type { Session } from "../session.ts";

/** The longest password or token that is read, bytes. */
const MAX_PASSWORD = 16 * 1024;

/** How a verb is told what another registry is asked with. */
export type CredentialOptions = { username?: string; passwordStdin?: true; credential: boolean };

/**
 * What another registry is asked with, for a request's JSON: the user named and a password from standard input or the terminal; null for
 * `--no-credential`; undefined: what is set stays.
 *
 * Errors: `usage`, `no-terminal`, `password-missing`.
 */
export async function remoteCredential(
  session: Session,
  { username, passwordStdin, credential }: CredentialOptions,
): Promise<{ username: string; password: string } | null | undefined> {
  if (!credential && username !== undefined) throw usageError("usage", "--username and --no-credential say two things");
  if (!credential) return null;
  if (username === undefined) {
    if (passwordStdin === true) throw usageError("usage", "--password-stdin needs --username");
    return undefined;
  }
  const password =
    passwordStdin === true ? await passwordFromStdin(session) : await askSecret(session, `Password of ${username}: `);
  if (password === "") throw usageError("password-missing", "the password is empty");
  return { username, password };
}

async function passwordFromStdin(session: Session): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of session.io.stdin) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > MAX_PASSWORD) throw usageError("usage", `a password has at most ${MAX_PASSWORD} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks)
    .toString("utf8")
    .replace(/\r?\n$/, "");
}
