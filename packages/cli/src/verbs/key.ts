import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { encryptCosignKey, formatPublicKeyPem, type KeyAlgorithm } from "@assay/evidence";
import { generateKeyPair, privateKeyFromPem } from "@assay/evidence/node";
import { type Command, Option } from "commander";
import { writeFileAtomically } from "../atomic.ts";
import { CliError, fileError, systemCode, usageError } from "../errors.ts";
import { keyName } from "../key-name.ts";
import type { JsonValue } from "../output.ts";
import type { Session } from "../session.ts";
import { keyFileKind, publicKeyIn, readKeyFile } from "../signing/key.ts";
import { keyPassword } from "../signing/password.ts";
import { table } from "../table.ts";

/** Names on the command line; P-256 is what every Sigstore client understands. */
const ALGORITHMS = {
  p256: "ecdsa-p256-sha256",
  p384: "ecdsa-p384-sha384",
  p521: "ecdsa-p521-sha512",
  rsa: "rsa-pkcs1-sha256",
  ed25519: "ed25519",
} as const satisfies Record<string, KeyAlgorithm>;
type AlgorithmName = keyof typeof ALGORITHMS;

export function define(command: Command, session: Session): void {
  command
    .command("generate")
    .description("make a key pair: an encrypted private key file that cosign reads too, and its public key")
    .option("--output-prefix <prefix>", "writes PREFIX.key and PREFIX.pub", "assay")
    .addOption(new Option("--algorithm <name>", "kind of key").choices(Object.keys(ALGORITHMS)).default("p256"))
    .addHelpText("after", "\nThe password comes from ASSAY_KEY_PASSWORD or COSIGN_PASSWORD, else it is asked for.")
    .action((options: { outputPrefix: string; algorithm: AlgorithmName }) => generate(session, options));
  command
    .command("list")
    .description("show the keys in files, or in the .key, .pub and .pem files of directories")
    .argument("[path...]", "files and directories", ["."])
    .action((paths: string[]) => list(session, paths));
}

async function generate(session: Session, options: { outputPrefix: string; algorithm: AlgorithmName }): Promise<void> {
  const privatePath = `${options.outputPrefix}.key`;
  const publicPath = `${options.outputPrefix}.pub`;
  for (const path of [privatePath, publicPath]) await requireAbsent(path);
  const password = await keyPassword(session, "new");
  const key = generateKeyPair(ALGORITHMS[options.algorithm]);
  // Exclusive: also a key that appeared since the check is never overwritten.
  await writeFileAtomically(privatePath, encryptCosignKey(key.toPkcs8(), password), { mode: 0o600, exclusive: true });
  await writeFileAtomically(publicPath, formatPublicKeyPem(key.publicKey), { mode: 0o644, exclusive: true });
  if (password === "") session.output.warn("password-empty", `${privatePath} is not protected: its password is empty`);
  const { keyId, algorithm } = key.publicKey;
  session.output.result(
    { privateKey: privatePath, publicKey: publicPath, keyId, algorithm },
    `${privatePath}  private key, keep it secret\n${publicPath}  public key, ${algorithm}\nkey id ${keyName("key", keyId)}`,
  );
}

async function requireAbsent(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    throw fileError(path, error);
  }
  throw usageError(
    "file-exists",
    `${path} exists already`,
    "Choose another --output-prefix; a key is never overwritten.",
  );
}

type Row = { path: string; kind: string; algorithm?: string; keyId?: string; problem?: string };

async function list(session: Session, paths: readonly string[]): Promise<void> {
  const rows: Row[] = [];
  for (const path of paths) rows.push(...(await rowsOf(path)));
  const json: JsonValue = rows;
  const text = rows.map(({ path, kind, algorithm, keyId, problem }) => [
    path,
    kind,
    algorithm ?? problem ?? "",
    keyId === undefined ? "" : keyName("key", keyId),
  ]);
  session.output.result(
    json,
    rows.length === 0 ? "no keys here" : table(["FILE", "KIND", "ALGORITHM", "KEY ID"], text),
  );
}

async function rowsOf(path: string): Promise<Row[]> {
  let names: string[];
  try {
    if (!(await stat(path)).isDirectory()) return [await describe(path, true)].flatMap((row) => row ?? []);
    names = (await readdir(path)).filter((name) => [".key", ".pub", ".pem"].includes(extname(name))).sort();
  } catch (error) {
    throw fileError(path, error);
  }
  const rows = await Promise.all(names.map((name) => describe(join(path, name), false)));
  return rows.flatMap((row) => row ?? []);
}

/** One file; what is no key is left out of a directory's list but reported when named. */
async function describe(path: string, named: boolean): Promise<Row | undefined> {
  try {
    const pem = await readKeyFile(path);
    const kind = keyFileKind(pem);
    switch (kind) {
      case undefined:
        return named ? { path, kind: "none", problem: `${basename(path)} holds no key` } : undefined;
      case "encrypted-private":
        return { path, kind: "private, encrypted" };
      case "private": {
        const { algorithm, keyId } = privateKeyFromPem(pem).publicKey;
        return { path, kind: "private, NOT encrypted", algorithm, keyId };
      }
      case "public": {
        const { algorithm, keyId } = publicKeyIn(pem, path);
        return { path, kind: "public", algorithm, keyId };
      }
    }
  } catch (error) {
    if (named || !(error instanceof CliError)) throw error;
    return { path, kind: "unreadable", problem: error.message };
  }
}
