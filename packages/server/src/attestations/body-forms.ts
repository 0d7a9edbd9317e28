import { type Digest, EvidenceError, fromBase64, isDigest, LIMITS, toBase64 } from "@assay/evidence";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { z } from "zod";
import { Problem } from "../http/problem.ts";
import { CERTIFICATE_LENGTH, DETACHED_BYTES, detachedEvidence } from "./detached.ts";
import { repositoryField } from "./intake.ts";
import { digestSchema } from "./piece.ts";
import { postedBytes } from "./reading.ts";

/** Bytes of a request's body: evidence of the largest size, as a JSON string with every character escaped once. */
export const BODY_LIMIT = 2 * LIMITS.bundleBytes;

/** Media types under which a body is the evidence itself, byte for byte. */
const RAW_TYPES: readonly (string | RegExp)[] = [
  /^application\/vnd\.dev\.sigstore\.bundle/,
  /^application\/vnd\.assay\.(?:cosign|blob|openpgp)-signature\.v1\+json/,
  "application/vnd.dsse.envelope.v1+json",
  "application/vnd.in-toto+json",
  "application/jose+json",
  "application/cose",
  "application/pgp-signature",
  "application/octet-stream",
  "text/plain",
];

/** Parts of one multipart body, and bytes of it: a signature, what it is about, and a certificate. */
const MULTIPART_BYTES = DETACHED_BYTES + CERTIFICATE_LENGTH + 16 * 1024;

const base64 = z.string().min(1).max(BODY_LIMIT);

/** What `POST …/attestations` takes, whatever the body's media type: every other one is turned into one of these first. */
export const givenBody = z.union([
  z.strictObject({
    bundle: z
      .union([z.string().min(1), z.record(z.string(), z.unknown())])
      .describe(
        "Signed evidence that is JSON: a Sigstore bundle, a DSSE envelope, a container, a Notary envelope. A string keeps its bytes, an object is stored in canonical form (RFC 8785).",
      ),
    repository: repositoryField,
  }),
  z.strictObject({
    bytes: base64.describe("The same in base64, and evidence that is not JSON: COSE, a clear-signed text."),
    repository: repositoryField,
  }),
  z.strictObject({
    signature: z
      .string()
      .min(1)
      .max(2 * DETACHED_BYTES)
      .describe("A detached signature: armoured OpenPGP, or base64 of the signature, as cosign writes it."),
    subject: digestSchema.describe("What it is about."),
    certificate: z.string().min(1).max(CERTIFICATE_LENGTH).optional().describe("PEM, the signer's first."),
    repository: repositoryField,
  }),
]);

export type GivenBody = z.output<typeof givenBody>;

/** What stands in the query where the body is the evidence itself. */
export const givenQuery = z.object({
  repository: repositoryField,
  subject: digestSchema.optional().describe("With a body that is a detached signature (not JSON): what it is about."),
});

/** The bytes that evidence is stored as. @throws Problem 400. */
export function evidenceBytes(body: GivenBody): Uint8Array {
  if ("bundle" in body) return postedBytes(body.bundle);
  if ("bytes" in body) return fromText(body.bytes);
  const { signature, subject, certificate } = body;
  return detachedEvidence({ signature: Buffer.from(signature, "utf8"), subject, certificate });
}

function fromText(text: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch (cause) {
    if (!(cause instanceof EvidenceError)) throw cause;
    throw new Problem(400, "request-invalid", "/bytes: is not base64", { cause });
  }
}

/** Lets a door take evidence under its own media types and in multipart forms (RFC 7578), each turned into what JSON would have said. */
export function parseEvidenceBodies(door: FastifyInstance): void {
  for (const type of RAW_TYPES) {
    door.addContentTypeParser(type, { parseAs: "buffer", bodyLimit: LIMITS.bundleBytes }, rawBody);
  }
  const limits = { parseAs: "buffer", bodyLimit: MULTIPART_BYTES } as const;
  door.addContentTypeParser("multipart/form-data", limits, multipartBody);
}

/** A body that is the evidence. With a subject in the query it is a signature file. */
async function rawBody(request: FastifyRequest, body: Buffer): Promise<GivenBody> {
  const { subject, repository } = queryOf(request);
  const place = repository === undefined ? {} : { repository };
  if (subject === undefined) return { bytes: toBase64(body), ...place };
  return { ...signatureText(body), subject, ...place };
}

/** A signature file as the JSON body has it: text as it is, binary in base64. */
function signatureText(file: Uint8Array): { signature: string } {
  const text = Buffer.from(file).toString("latin1");
  return { signature: /^[\t\n\r -~]*$/.test(text) ? text : toBase64(file) };
}

function queryOf(request: FastifyRequest): { subject: Digest | undefined; repository: string | undefined } {
  const query = request.query as { readonly [name: string]: unknown };
  const { subject, repository } = query;
  return {
    subject: isDigest(subject) ? subject : undefined,
    repository: typeof repository === "string" ? repository : undefined,
  };
}

const PARTS: readonly string[] = ["signature", "subject", "certificate", "repository"];

/** The parts of a form, each once. What they hold is checked with the JSON body's own schema. */
async function multipartBody(request: FastifyRequest, body: Buffer): Promise<Record<string, string>> {
  const form = await formOf(request.headers["content-type"] ?? "", body);
  // No prototype: a part's name is never anything but a name.
  const given = Object.create(null) as Record<string, string>;
  for (const [name, value] of form) {
    if (!PARTS.includes(name) || name in given) {
      throw new Problem(400, "request-invalid", `the form has a part ${JSON.stringify(name.slice(0, 100))}`, {
        hint: `its parts are ${PARTS.join(", ")}, each at most once`,
      });
    }
    const bytes = typeof value === "string" ? undefined : new Uint8Array(await value.arrayBuffer());
    if (bytes === undefined) given[name] = value as string;
    else given[name] = name === "signature" ? signatureText(bytes).signature : Buffer.from(bytes).toString("utf8");
  }
  return { ...given };
}

async function formOf(contentType: string, body: Buffer): Promise<FormData> {
  try {
    return await new Response(new Uint8Array(body), { headers: { "content-type": contentType } }).formData();
  } catch (cause) {
    throw new Problem(400, "request-invalid", "the body is no form as its Content-Type says (RFC 7578)", { cause });
  }
}
