import type { AskedSubject } from "./subject.ts";

/** Where the codes of an answer are explained, one by one. */
const REASONS = "docs/reasons.md says of each code what to do";

/**
 * What to do next where the answer is no: lines for people, below it.
 *
 * @param codes why pieces were refused. @param offline whether the answer was found from files alone.
 */
export function adviceOnRefusal(subject: AskedSubject, codes: readonly string[], offline: boolean): string[] {
  if (codes.length === 0) return [];
  const lines: string[] = [];
  if (codes.includes("bytes-needed")) {
    lines.push(
      offline
        ? "name the file itself, not its digest (`assay evidence check`: add --artifact FILE): its bytes are needed"
        : `give the server the bytes: \`assay push ${subject.kind === "file" ? subject.named : "FILE"} NAME:TAG\``,
    );
  }
  if (offline && codes.includes("time-unproven")) {
    lines.push("--receipt FILE proves when it was there (`assay evidence download --receipt FILE` fetches it)");
  }
  if (codes.includes("unknown-signer")) lines.push("`assay trust add NAME` says whom to believe");
  return [...lines, REASONS];
}

/** The same where there is no evidence at all. */
export function adviceOnNothing({ kind }: AskedSubject): string {
  if (kind === "image") {
    return "nothing is said about this image; what is said about a file in it is found under the file: name the file itself";
  }
  return "nothing is said about these very bytes (one byte changed makes another artifact); `assay evidence add` and `import` bring evidence in";
}

/** The same for a decision, which has the reasons but not what was checked. */
export function adviceOnDenial(subject: AskedSubject, evidence: number): string {
  return evidence === 0
    ? adviceOnNothing(subject)
    : `\`assay verify --explain\` shows what was checked of each piece; ${REASONS}`;
}
