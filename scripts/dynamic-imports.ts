/** Dynamic imports of a source text: `import(…)` as expression and as type. */

/** `target` is undefined where the imported name is computed. Lines count from 1. */
export type DynamicImport = { line: number; target: string | undefined };

/**
 * Finds dynamic imports without parsing: what stands in a comment or a string counts too, which at worst asks for a rewording.
 */
export function dynamicImports(source: string): DynamicImport[] {
  const found: DynamicImport[] = [];
  for (const match of source.matchAll(/(?<![\w$.`])import\s*\(\s*(?:(["'`])([^"'`$]*)\1\s*[,)])?/g)) {
    const line = source.slice(0, match.index).split("\n").length;
    found.push({ line, target: match[2] });
  }
  return found;
}
