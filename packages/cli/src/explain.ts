import type { Step } from "@assay/evidence";
import { type AnswerObject, answerInvalid } from "./answer.ts";
import type { Environment } from "./environment.ts";
import type { JsonValue } from "./output.ts";
import { oneLine } from "./table.ts";

/** How a tree of steps is set. */
export type Setting = {
  /** Characters a line may have; undefined: as long as it is. */
  readonly width: number | undefined;
  /** ✓ ✗ – instead of ASCII. */
  readonly unicode: boolean;
};

const MARKS: Readonly<Record<Step["outcome"], { readonly unicode: string; readonly ascii: string }>> = {
  passed: { unicode: "✓", ascii: "[pass]" },
  failed: { unicode: "✗", ascii: "[FAIL]" },
  "not-evaluated": { unicode: "–", ascii: "[ -- ]" },
};

const INDENT = 2;
/** Narrower than this, words are not wrapped further: the terminal does it better. */
const LEAST_TEXT = 24;
/** What a server may answer with at most. Deeper or longer is no explanation that anybody reads. */
const MAX_DEPTH = 32;
const MAX_STEPS = 2_000;

/**
 * A verification's explanation as an indented tree, a step a line: its mark, the check's name, and one sentence. What a step was found by
 * stands below it, further in. Details come from evidence and servers, so nothing in them can steer the terminal or begin a line.
 */
export function explanationLines(steps: readonly Step[], setting: Setting, depth = 0): string[] {
  return steps.flatMap(({ check, outcome, detail, steps: below = [] }) => {
    const mark = setting.unicode ? MARKS[outcome].unicode : MARKS[outcome].ascii;
    const indent = " ".repeat(depth * INDENT);
    const hanging = " ".repeat(indent.length + mark.length + 1);
    const words = oneLine(detail === "" ? check : `${check}: ${detail}`);
    const room = setting.width === undefined ? undefined : Math.max(LEAST_TEXT, setting.width - hanging.length);
    const [first = "", ...rest] = wrapped(words, room);
    return [
      `${indent}${mark} ${first}`,
      ...rest.map((line) => `${hanging}${line}`),
      ...explanationLines(below, setting, depth + 1),
    ];
  });
}

/** Whether the terminal's locale says UTF-8 (POSIX: LC_ALL before LC_CTYPE before LANG). */
export function isUtf8(env: Environment): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find((value) => (value ?? "") !== "") ?? "";
  return /utf-?8/i.test(locale);
}

/** Reads the `steps` of a server's answer. Errors: `answer-invalid`. */
export function readSteps(answer: AnswerObject, name = "steps"): Step[] {
  let left = MAX_STEPS;
  const read = (items: readonly AnswerObject[], depth: number): Step[] => {
    if (depth > MAX_DEPTH) throw answerInvalid("an explanation is nested too deeply");
    return items.map((item) => {
      left -= 1;
      if (left < 0) throw answerInvalid(`an explanation has more than ${MAX_STEPS} steps`);
      const outcome = item.text("outcome");
      if (outcome !== "passed" && outcome !== "failed" && outcome !== "not-evaluated") {
        throw answerInvalid(`the outcome of a step is ${JSON.stringify(outcome)}`);
      }
      const step = { check: item.text("check"), outcome, detail: item.text("detail") } as const;
      return item.raw("steps") === undefined ? step : { ...step, steps: read(item.objects("steps"), depth + 1) };
    });
  };
  return read(answer.objects(name), 0);
}

/** A tree as programs get it. */
export function stepsJson(steps: readonly Step[]): JsonValue {
  return steps.map(({ check, outcome, detail, steps: below }) => ({
    check,
    outcome,
    detail,
    ...(below === undefined ? {} : { steps: stepsJson(below) }),
  }));
}

/** Words in lines of at most `width` characters; a word that is longer stands alone and whole, for digests are copied. */
function wrapped(text: string, width: number | undefined): string[] {
  if (width === undefined || text.length <= width) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
