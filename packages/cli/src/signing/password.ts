import { usageError } from "../errors.ts";
import { askSecret } from "../prompt.ts";
import type { Session } from "../session.ts";

/** The variables a key file's password may come from, the first that is set wins; an empty one is an empty password. */
const VARIABLES = ["ASSAY_KEY_PASSWORD", "COSIGN_PASSWORD"] as const;

/**
 * The password of a key file: from the environment, else asked for at the terminal (twice for a new key), never shown.
 * Errors: `password-missing` where there is neither, `password-differs`.
 */
export async function keyPassword(session: Session, purpose: "new" | "open"): Promise<string> {
  for (const name of VARIABLES) {
    const value = session.env[name];
    if (value !== undefined) return value;
  }
  if (session.io.stdin.isTTY !== true) {
    throw usageError(
      "password-missing",
      "the key file needs a password and there is no terminal to ask for it",
      `Set ${VARIABLES[0]} (or ${VARIABLES[1]}); empty means no password.`,
    );
  }
  const password = await askSecret(session, purpose === "new" ? "Password for the new key: " : "Password of the key: ");
  if (purpose === "new" && (await askSecret(session, "Again: ")) !== password) {
    throw usageError("password-differs", "the two passwords are not the same", "Run the command again.");
  }
  return password;
}
