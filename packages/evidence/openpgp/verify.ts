/**
 * The verification of OpenPGP signatures. {@link verify} reads as the procedure: read → judge each signature's form → hash the document once,
 * for all of them → arithmetic → what the key was worth. The first good signature in the file's order counts; without one, the
 * closest miss says what is wrong. No signature is never success.
 */
import {
  canonicalClearText,
  concatBytes,
  EvidenceError,
  equalBytes,
  Explanation,
  LIMITS,
  type OpenPgpRequest,
  type OpenPgpResult,
  parseClearSigned,
  type RefusalCode,
  readArmorBlocks,
  recogniseOpenPgp,
  type Step,
  toHex,
} from "../src/index.ts";
import { Attempt, type ClearText } from "./attempt.ts";
import { mergeCertificates } from "./certificate.ts";
import { certificateOf } from "./certificate-cache.ts";
import { chunksOf, Hashings, isHashed } from "./document.ts";
import type { Fault } from "./key-validity.ts";
import { type Packet, readPackets, TAG_SIGNATURE } from "./packets.ts";

/** From the furthest miss to the closest: of several bad signatures, the closest one's fault is the one to report. */
const CLOSENESS: readonly RefusalCode[] = [
  "malformed",
  "unsupported",
  "unknown-signer",
  "weak-algorithm",
  "subject-mismatch",
  "signature-invalid",
  "certificate-invalid",
  "outside-validity",
  "key-revoked",
  "key-expired",
  "time-unproven",
];

/** Judges signatures over a document: see {@link OpenPgpPort.verify}. */
export async function verify(request: OpenPgpRequest): Promise<OpenPgpResult> {
  const certificates = mergeCertificates(request.certificates.map(certificateOf));
  const explanation = new Explanation();

  // 1. Read. What cannot be read whole is read not at all: a file of which a part is skipped is read differently by others.
  let read: Read;
  try {
    read = readSignatures(request.signature);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    explanation.failed("openpgp-format", error.message);
    return bad("malformed", error.message, explanation.steps);
  }
  const { packets, clear } = read;
  explanation.passed("openpgp-format", `${read.form}, signatures: ${packets.length}.`);

  // 2. Form: each signature by itself, before anything is hashed for it.
  const proven = request.times.length === 0 ? null : Math.min(...request.times.map(({ time }) => time)) / 1000;
  const hashings = new Hashings();
  const attempts = packets.map(({ body }) => new Attempt(body, certificates, proven, clear, hashings));

  // 3. The document, once, past all signatures that are still in question.
  if (clear !== undefined && !(await isOwnText(clear.text, request.document))) {
    const message = "The document is not the text inside the clear-signed one.";
    explanation.failed("subject", message);
    return bad("subject-mismatch", message, explanation.steps);
  }
  await hashings.over(clear?.canonical ?? request.document);

  // 4. Arithmetic and keys.
  let best: Fault | undefined;
  for (const attempt of attempts) {
    const outcome = await attempt.judge();
    if (!("code" in outcome)) {
      explanation.passed("openpgp-signature", outcome.detail, outcome.steps);
      const { detail: _detail, steps: _steps, ...good } = outcome;
      return { outcome: "good", ...good, steps: explanation.steps };
    }
    explanation.failed("openpgp-signature", outcome.message, attempt.steps);
    if (best === undefined || CLOSENESS.indexOf(outcome.code) > CLOSENESS.indexOf(best.code)) best = outcome;
  }
  if (best === undefined) return bad("malformed", "The file holds no signature.", explanation.steps);
  return bad(best.code, best.message, explanation.steps);
}

function bad(code: RefusalCode, message: string, steps: readonly Step[]): OpenPgpResult {
  return { outcome: "bad", code, message, steps };
}

type Read = { readonly form: string; readonly packets: readonly Packet[]; readonly clear?: ClearText };

/** The signature packets of any form, each once. Throws `openpgp-invalid`, `too-large`. */
function readSignatures(bytes: Uint8Array): Read {
  switch (recogniseOpenPgp(bytes)) {
    case "clear-signed": {
      const { text, hashes, signature } = parseClearSigned(bytes);
      const canonical = canonicalClearText(text);
      return { form: "Clear-signed text", packets: signaturePackets(signature), clear: { text, canonical, hashes } };
    }
    case "armored":
      return {
        form: "Detached, armoured",
        packets: signaturePackets(concatBytes(...readArmorBlocks(bytes, "SIGNATURE"))),
      };
    case "binary":
      return { form: "Detached, binary", packets: signaturePackets(bytes) };
    case undefined:
      throw new EvidenceError("openpgp-invalid", "These bytes are no OpenPGP signature.");
  }
}

function signaturePackets(bytes: Uint8Array): Packet[] {
  const packets = readPackets(bytes, LIMITS.openPgpSignatures);
  const other = packets.find(({ tag }) => tag !== TAG_SIGNATURE);
  if (other !== undefined) {
    throw new EvidenceError("openpgp-invalid", `Among the signatures is a packet of another kind (tag ${other.tag}).`);
  }
  if (packets.length === 0) throw new EvidenceError("openpgp-invalid", "The file holds no signature.");
  return [...new Map(packets.map((packet) => [toHex(packet.body), packet])).values()];
}

/** A clear-signed text's document is its own; whoever gives one beside it must give that one. */
async function isOwnText(text: Uint8Array, document: OpenPgpRequest["document"]): Promise<boolean> {
  // A document that only its hashes are known of cannot be compared.
  if (isHashed(document)) return false;
  let at = 0;
  for await (const chunk of chunksOf(document)) {
    if (!equalBytes(text.subarray(at, at + chunk.length), chunk)) return false;
    at += chunk.length;
  }
  return at === 0 || at === text.length;
}
