/** Evidence that real clients make against the private stack, in every form that comes down to Sigstore: new bundles, cosign 2's layers and files. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { formatBlobSignature, readLocalBundle, readSignatureFile } from "../../packages/evidence/src/blob-signature.ts";
import { formatCosignSignature } from "../../packages/evidence/src/cosign.ts";
import { type Digest, parseDigest } from "../../packages/evidence/src/digest.ts";
import type { Home } from "../harness.ts";
import { makeImage } from "../image.ts";
import type { Stack } from "./stack.ts";

/** One piece of evidence, as we store it. */
export type Material = {
  /** Who made it, with what, and what it is: also its file name as a fixture. */
  name: string;
  bytes: Uint8Array;
  artifact: Digest;
  /** Null for what the key pair in `cosign.pub` signed. */
  identity: { issuer: string; subject: string } | null;
  /** The same in its own form, and what verifies it there. */
  outside:
    | { command: "verify-blob" | "verify-blob-attestation"; file: string }
    | { command: "verify" | "verify-attestation"; image: string };
};

export const PREDICATE_TYPE = "https://example.com/test-result/v1";
export const ALICE = "alice@example.com";
const WORKFLOW = "acme/app/.github/workflows/release.yml@refs/heads/main";
export const RELEASE = `https://github.com/${WORKFLOW}`;
/** The file that blob signatures are about, in the home. */
export const ARTIFACT = "artifact.txt";

/** A token for a person. */
export function personToken({ people }: Stack): string {
  return people.token({ sub: "alice", email: ALICE, email_verified: true });
}

/** A token as a workflow of GitHub gets it. */
export function buildToken({ builds }: Stack): string {
  const sha = "0123456789abcdef0123456789abcdef01234567";
  return builds.token({
    sub: "repo:acme/app:ref:refs/heads/main",
    event_name: "push",
    sha,
    workflow: "release",
    repository: "acme/app",
    ref: "refs/heads/main",
    job_workflow_ref: WORKFLOW,
    job_workflow_sha: sha,
    runner_environment: "github-hosted",
    repository_owner: "acme",
    repository_owner_id: "1",
    repository_id: "2",
    repository_visibility: "public",
    workflow_ref: WORKFLOW,
    workflow_sha: sha,
    run_id: "7",
    run_attempt: "1",
  });
}

/** Makes all of it. `registry` is the host and port of a registry that takes anything. */
export async function makeMaterial(stack: Stack, home: Home, registry: string): Promise<Material[]> {
  writeFileSync(home.path(ARTIFACT), "the artifact\n");
  writeFileSync(home.path("predicate.json"), '{"result":"PASSED"}');
  await home.must("cosign", ["generate-key-pair"]);
  const artifact = parseDigest(`sha256:${createHash("sha256").update("the artifact\n").digest("hex")}`);
  const alice = { issuer: stack.people.url, subject: ALICE };
  const release = { issuer: stack.builds.url, subject: RELEASE };
  const file = (name: string): Uint8Array => Uint8Array.from(readFileSync(home.path(name)));
  const predicate = ["--predicate", "predicate.json", "--type", PREDICATE_TYPE];

  // cosign 3 and sigstore-python, in bundles.
  const now = ["--yes", "--trusted-root", stack.trustedRoot, "--signing-config", stack.signingConfig];
  const bundle = async (name: string, identity: Material["identity"], ...args: string[]): Promise<Material> => {
    await home.must("cosign", [...args, "--bundle", `${name}.json`, ARTIFACT]);
    const command = args[0] === "sign-blob" ? "verify-blob" : "verify-blob-attestation";
    const outside = { command, file: `${name}.json` } as const;
    return { name: `${name}.bundle`, bytes: file(`${name}.json`), artifact, identity, outside };
  };
  const person = (): string[] => ["--identity-token", personToken(stack)];
  // The log's first entry, index 0, is one that sigstore-python cannot read: cosign's goes first.
  const bundles = [
    await bundle("cosign3-sign-blob", alice, "sign-blob", ...now, ...person()),
    await bundle("cosign3-attest-blob", alice, "attest-blob", ...now, ...person(), ...predicate),
    await bundle(
      "cosign3-attest-blob-workflow",
      release,
      "attest-blob",
      ...now,
      "--identity-token",
      buildToken(stack),
      ...predicate,
    ),
    await bundle("cosign3-sign-blob-key", null, "sign-blob", ...now, "--key", "cosign.key"),
    await bundle("cosign3-attest-blob-key", null, "attest-blob", ...now, "--key", "cosign.key", ...predicate),
  ];
  const python = ["--trust-config", stack.clientTrustConfig, "sign", ...person()];
  await home.must("sigstore", [...python, "--bundle", "python.json", ARTIFACT]);
  bundles.push({
    name: "sigstore-python-sign.bundle",
    bytes: file("python.json"),
    artifact,
    identity: alice,
    outside: { command: "verify-blob", file: "python.json" },
  });

  // cosign 2's way: layers with annotations, files.
  const { fulcio, rekorV1, tsa } = stack.urls;
  const old = [
    "--yes",
    "--new-bundle-format=false",
    "--use-signing-config=false",
    "--trusted-root",
    stack.trustedRoot,
    "--rekor-url",
    rekorV1,
  ];
  const certified = (): string[] => [...person(), "--fulcio-url", fulcio, "--timestamp-server-url", tsa];
  const layers: Material[] = [];
  const onImage = async (
    name: string,
    identity: Material["identity"],
    tag: "sig" | "att",
    ...args: string[]
  ): Promise<void> => {
    // Each on an image of its own: cosign adds its layers to those that are there.
    const image = makeImage({ layout: home.path(name), packages: ["commander"], altered: layers.length % 2 === 1 });
    const repository = `${registry}/${name}`;
    const reference = await home.must("crane", ["push", image.layout, `${repository}:v1`]);
    await home.must("cosign", [...args, reference]);
    const place = `${repository}:${image.digest.replace(":", "-")}.${tag}`;
    const manifest = JSON.parse(await home.must("crane", ["manifest", place])) as {
      layers: { mediaType: string; digest: string; annotations: Record<string, string> }[];
    };
    const [layer] = manifest.layers;
    if (layer === undefined) throw new Error(`${place} has no layers`);
    const { mediaType, annotations } = layer;
    const blob = await fetch(`http://${registry}/v2/${name}/blobs/${layer.digest}`);
    const bytes = formatCosignSignature({ mediaType, annotations, bytes: new Uint8Array(await blob.arrayBuffer()) });
    const command = tag === "sig" ? "verify" : "verify-attestation";
    const outside = { command, image: reference } as const;
    layers.push({ name: `${name}.bundle`, bytes, artifact: parseDigest(image.digest), identity, outside });
  };
  await onImage("cosign2-sign-key", null, "sig", "sign", ...old, "--key", "cosign.key");
  await onImage("cosign2-sign", alice, "sig", "sign", ...old, ...certified());
  await onImage("cosign2-attest", alice, "att", "attest", ...old, ...certified(), ...predicate);
  await onImage("cosign2-attest-key", null, "att", "attest", ...old, "--key", "cosign.key", ...predicate);
  // By the same signer about other images than their namesakes.
  await onImage("cosign2-sign-other", alice, "sig", "sign", ...old, ...certified());
  await onImage("cosign2-attest-other", alice, "att", "attest", ...old, ...certified(), ...predicate);

  await home.must("cosign", [
    "sign-blob",
    ...old,
    "--key",
    "cosign.key",
    "--output-signature",
    "artifact.sig",
    ARTIFACT,
  ]);
  const signature = readSignatureFile(file("artifact.sig"));
  const local = ["sign-blob", ...old, ...person(), "--fulcio-url", fulcio];
  await home.must("cosign", [...local, "--bundle", "local.bundle", ARTIFACT]);
  return [
    ...bundles,
    ...layers,
    {
      name: "cosign2-sign-blob-key.bundle",
      bytes: formatBlobSignature({ subject: artifact, signature }),
      artifact,
      identity: null,
      outside: { command: "verify-blob", file: "artifact.sig" },
    },
    {
      name: "cosign2-sign-blob-bundle.bundle",
      bytes: formatBlobSignature({ subject: artifact, ...readLocalBundle(file("local.bundle")) }),
      artifact,
      identity: alice,
      outside: { command: "verify-blob", file: "local.bundle" },
    },
  ];
}
