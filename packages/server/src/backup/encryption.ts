import { readFileSync } from "node:fs";
import { Decrypter, Encrypter } from "age-encryption";
import { ServerError } from "../errors.ts";

/** The first line of every file in the age format (age-encryption.org/v1). */
export const AGE_MAGIC = Buffer.from("age-encryption.org/v1\n");

/** What an archive is encrypted for: age recipients, or a passphrase. */
export interface EncryptionChoice {
  readonly recipients: readonly string[];
  readonly passphraseFile?: string | undefined;
}

/** What opens an encrypted archive. */
export interface DecryptionChoice {
  readonly identityFile?: string | undefined;
  readonly passphraseFile?: string | undefined;
}

/**
 * How an archive is encrypted; undefined: not at all. What comes out the `age` program can open.
 *
 * @throws ServerError `config-invalid`.
 */
export function chooseEncryption(
  choice: EncryptionChoice,
): ((source: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>) | undefined {
  const { recipients, passphraseFile } = choice;
  if (recipients.length === 0 && passphraseFile === undefined) return undefined;
  if (recipients.length > 0 && passphraseFile !== undefined) {
    throw new ServerError("config-invalid", "an archive is encrypted for recipients or under a passphrase, not both");
  }
  const encrypter = new Encrypter();
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient);
    } catch (cause) {
      throw new ServerError("config-invalid", `${recipient.slice(0, 80)} is not an age recipient`, {
        cause,
        hint: "a recipient begins with age1: `age-keygen -y FILE` prints the one of an identity file",
      });
    }
  }
  if (passphraseFile !== undefined) encrypter.setPassphrase(readPassphrase(passphraseFile));
  return async function* (source) {
    yield* await encrypter.encrypt(ReadableStream.from(source));
  };
}

/**
 * Opens an encrypted archive as a stream. Each piece that comes out is authenticated; the end is too, so a cut is noticed.
 *
 * @throws ServerError `archive-locked` when nothing given opens it.
 */
export async function* decrypt(
  source: AsyncIterable<Uint8Array>,
  choice: DecryptionChoice,
): AsyncGenerator<Uint8Array> {
  const decrypter = new Decrypter();
  if (choice.identityFile !== undefined) {
    for (const identity of readIdentities(choice.identityFile)) decrypter.addIdentity(identity);
  }
  if (choice.passphraseFile !== undefined) decrypter.addPassphrase(readPassphrase(choice.passphraseFile));
  if (choice.identityFile === undefined && choice.passphraseFile === undefined) {
    throw new ServerError("archive-locked", "the archive is encrypted", {
      hint: "name what opens it with --identity-file or --passphrase-file",
    });
  }
  let opened: AsyncIterable<Uint8Array>;
  try {
    opened = await decrypter.decrypt(ReadableStream.from(source));
  } catch (cause) {
    throw new ServerError("archive-locked", `the archive does not open: ${message(cause)}`, {
      cause,
      hint: "give the identity or the passphrase it was encrypted for; if it is the right one, the archive's first bytes are damaged",
    });
  }
  try {
    yield* opened;
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    throw new ServerError("archive-damaged", `the encrypted archive was altered or cut off: ${message(cause)}`, {
      cause,
      hint: "take another copy of this archive, or an older backup",
    });
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}

function readSecretFile(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new ServerError("config-invalid", `the ${what} ${path} cannot be read`, { cause });
  }
}

/** The first line of a file. */
function readPassphrase(path: string): string {
  const [line = ""] = readSecretFile(path, "passphrase file").split(/\r?\n/, 1);
  if (line.length < 8) {
    throw new ServerError(
      "config-invalid",
      `the first line of ${path} is no passphrase: it has fewer than 8 characters`,
    );
  }
  return line;
}

/** The identities of a file as `age-keygen` writes it: one a line, `#` begins a comment. */
function readIdentities(path: string): string[] {
  const lines = readSecretFile(path, "identity file")
    .split(/\r?\n/)
    .filter((line) => line.startsWith("AGE-SECRET-KEY-"));
  if (lines.length === 0) {
    throw new ServerError("config-invalid", `${path} holds no age identity`, {
      hint: "an identity is a line that begins with AGE-SECRET-KEY-1; `age-keygen` makes one",
    });
  }
  return lines;
}
