import { readFile, stat } from "node:fs/promises";
import { buildStatement, digestHex, signMessage, signStatement } from "@assay/evidence";
import type { PrivateKey } from "@assay/evidence/node";
import type { Command } from "commander";
import { fileError, usageError } from "../errors.ts";
import { notHere, subjectKind } from "../judging/kind.ts";
import { attachBundle } from "../oci/attach.ts";
import { connect } from "../oci/connect.ts";
import { formatImage, manifestReference, parseOwnImage } from "../oci/image.ts";
import { getManifest, sha256 } from "../oci/manifests.ts";
import type { Session } from "../session.ts";
import { checkDelivery, type Delivery, deliver, deliveryText } from "../signing/deliver.ts";
import { signingKey } from "../signing/key.ts";

/** What `cosign sign` says of an image, so that `cosign verify` finds it. */
export const COSIGN_SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";
// The signature is over the bytes themselves, which are held in memory for it.
const MAX_FILE = 512 << 20;

type Options = { key?: string; bundle?: string; attach?: true; upload?: true; repository?: string };

export function define(command: Command, session: Session): void {
  command
    .argument("<subject>", "a file, or an image ([host/]name:tag or @sha256:…)")
    .option("--key <file>", "the private key (ASSAY_KEY)")
    .option("--bundle <file>", "write the bundle here (default for files: FILE.sigstore.json)")
    .option(
      "--attach",
      "store the bundle beside the image in its registry (default for images where neither --bundle nor --upload is given)",
    )
    .option("--upload", "give the bundle to the server as evidence")
    .option("--repository <name>", "with --upload: org/name of the repository the artifact is in")
    .addHelpText("after", "\nA file's bundle verifies with `cosign verify-blob`, an image's with `cosign verify`.")
    .action(async (subject: string, options: Options) => {
      switch (await subjectKind(subject, undefined, "write its host before it")) {
        case "file":
          await signFile(session, subject, options);
          break;
        case "image":
          await signImage(session, subject, options);
          break;
        case "directory":
        case "digest":
          throw usageError(
            "not-a-file",
            `${subject} is neither a file nor an image`,
            "For a directory or a digest use `assay attest artifact`, which signs a statement about it.",
          );
      }
    });
}

async function signFile(session: Session, path: string, options: Options): Promise<void> {
  if (options.attach === true)
    throw usageError("usage", "--attach is for images", "Use --upload to give the bundle to the server.");
  const delivery: Delivery = {
    file: options.bundle ?? `${path}.sigstore.json`,
    upload: options.upload === true,
    repository: options.repository,
  };
  await checkDelivery(session, delivery, false);
  const key = await signingKey(session, options.key);
  const message = await readWhole(path);
  const subject = sha256(message);
  const bundle = await signMessage({ message, ...signer(key) });
  const delivered = await deliver(session, bundle, delivery);
  session.output.result(
    { subject, kind: "file", keyId: key.publicKey.keyId, bundle: delivery.file, ...delivered },
    deliveryText({ subject, what: `file ${path}` }, delivery, delivered, undefined),
  );
}

async function signImage(session: Session, reference: string, options: Options): Promise<void> {
  const settings = await session.settings();
  const image = orNotHere(reference, () => parseOwnImage(reference, settings));
  const attach = options.attach === true || (options.bundle === undefined && options.upload !== true);
  const delivery: Delivery = { file: options.bundle, upload: options.upload === true, repository: options.repository };
  await checkDelivery(session, delivery, attach);
  const key = await signingKey(session, options.key);
  const registry = await connect(session, image);
  // What a tag names now is looked up once and signed by digest.
  const manifest = await getManifest(registry, manifestReference(image)).catch((error: unknown) => {
    throw notHere(reference, error);
  });
  const payloadBytes = buildStatement({
    subjects: [{ digest: { sha256: digestHex(manifest.digest) } }],
    predicateType: COSIGN_SIGN_PREDICATE,
    predicate: {},
  });
  const bundle = await signStatement({ payloadBytes, ...signer(key) });
  const attached = attach
    ? await attachBundle(registry, manifest, bundle, COSIGN_SIGN_PREDICATE, new Date())
    : undefined;
  const delivered = await deliver(session, bundle, delivery);
  session.output.result(
    {
      subject: manifest.digest,
      kind: "image",
      reference: formatImage({ ...image, digest: manifest.digest }),
      keyId: key.publicKey.keyId,
      bundle: delivery.file,
      attached,
      ...delivered,
    },
    deliveryText({ subject: manifest.digest, what: `image ${reference}` }, delivery, delivered, attached),
  );
}

/** Takes a name apart that was guessed to be an image's: where it is none, it may have been meant as a file. */
function orNotHere<T>(subject: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw notHere(subject, error);
  }
}

/** A private key as the evidence package's signing functions take it. */
export function signer(key: PrivateKey): {
  sign: (bytes: Uint8Array) => Uint8Array;
  publicKey: PrivateKey["publicKey"];
} {
  return { sign: (bytes) => key.sign(bytes), publicKey: key.publicKey };
}

async function readWhole(path: string): Promise<Uint8Array> {
  try {
    if ((await stat(path)).size > MAX_FILE) {
      throw usageError(
        "file-too-large",
        `${path} is larger than ${MAX_FILE >> 20} MiB`,
        "Use `assay attest artifact --artifact-type file`, which signs its digest.",
      );
    }
    return await readFile(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
