/** The page: asks each question of the ports that run in browsers, and sends the answers back. */
import { type Crypto, fromBase64, nobleCrypto, parseSpki, webCrypto } from "../../packages/evidence/src/index.ts";
import type { Question } from "../../packages/evidence/test/recorded.ts";

/** What the page found: of every question the two answers, in order; or why it found nothing. */
export type Report =
  | { readonly agent: string; readonly hasSubtle: boolean; readonly web: boolean[]; readonly noble: boolean[] }
  | { readonly failure: string };

async function answers(port: Crypto, questions: readonly Question[]): Promise<boolean[]> {
  const given: boolean[] = [];
  for (const { spki, scheme, signature, data } of questions) {
    const key = parseSpki(fromBase64(spki));
    const asked = [fromBase64(signature), fromBase64(data)] as const;
    given.push(await (scheme === undefined ? port.verify(key, ...asked) : port.verifyAs(key, scheme, ...asked)));
  }
  return given;
}

async function report(): Promise<Report> {
  const questions = (await (await fetch("/questions")).json()) as Question[];
  return {
    agent: navigator.userAgent,
    // Only there in a secure context.
    hasSubtle: "subtle" in crypto,
    web: await answers(webCrypto, questions),
    noble: await answers(nobleCrypto, questions),
  };
}

const send = (body: Report): Promise<Response> => fetch("/report", { method: "POST", body: JSON.stringify(body) });
report().then(send, (error: unknown) =>
  send({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
);
