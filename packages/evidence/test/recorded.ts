import { appendFileSync } from "node:fs";
import { type Crypto, type SignatureScheme, toBase64 } from "../src/index.ts";

/** A question to a crypto port and the answer given: what `interop/browser` asks again where there is no Node. Bytes are base64. */
export type Question = {
  readonly spki: string;
  /** Absent: by the key's own algorithm. */
  readonly scheme?: SignatureScheme;
  readonly signature: string;
  readonly data: string;
  readonly answer: boolean;
};

/** The port itself; where the environment's ASSAY_RECORD_QUESTIONS names a file, one that adds each question to it, a line of JSON each. */
export function recorded(port: Crypto): Crypto {
  const file = process.env["ASSAY_RECORD_QUESTIONS"];
  if (file === undefined) return port;
  const add = (question: Question): boolean => {
    appendFileSync(file, `${JSON.stringify(question)}\n`);
    return question.answer;
  };
  return {
    sha256: (data) => port.sha256(data),
    verify: async (key, signature, data) =>
      add({
        spki: toBase64(key.spki),
        signature: toBase64(signature),
        data: toBase64(data),
        answer: await port.verify(key, signature, data),
      }),
    verifyAs: async (key, scheme, signature, data) =>
      add({
        spki: toBase64(key.spki),
        scheme,
        signature: toBase64(signature),
        data: toBase64(data),
        answer: await port.verifyAs(key, scheme, signature, data),
      }),
  };
}
