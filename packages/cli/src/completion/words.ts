/**
 * A line as bash would split it into words, up to the cursor: blanks divide, quotes and backslashes keep together. The last word is
 * what was typed of the word at the cursor, perhaps nothing. Bash's own COMP_WORDS also split at ":" and "=", which is no use here.
 */
export function shellWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < line.length; at += 1) {
    const c = line[at] ?? "";
    if (quote !== undefined) {
      if (c === quote) quote = undefined;
      else if (c === "\\" && quote === '"' && '"\\$`'.includes(line[at + 1] ?? " "))
        word = `${word ?? ""}${line[(at += 1)]}`;
      else word = `${word ?? ""}${c}`;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (c === "\\") word = `${word ?? ""}${line[((at += 1))] ?? ""}`;
    else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = `${word ?? ""}${c}`;
  }
  return [...words, word ?? ""];
}

/**
 * A candidate as bash is to insert it: without what stands before the last ":" or "=" of the typed word, for bash completes only
 * what is behind it (COMP_WORDBREAKS).
 */
export function behindWordBreak(typed: string, candidate: string): string {
  const at = Math.max(typed.lastIndexOf(":"), typed.lastIndexOf("="));
  return candidate.slice(at + 1);
}
