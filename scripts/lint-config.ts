/**
 * What `.oxlintrc.json` holds: the lint rules, and the arrows of scripts/floors.ts as `no-restricted-imports` overrides. The file is
 * made by `npm run arrows` and committed, because the linter and editors read it; `npm run check` fails when it is not what this gives.
 */
import { overrides } from "./floors.ts";

/** Files that may end the process: what a person or a service manager starts. */
const ENTRY_POINTS = [
  "packages/server/src/main.ts",
  "packages/server/src/run.ts",
  "packages/server/src/run.ts",
  "packages/server/src/admin.ts",
  "packages/server/src/writer.ts",
  "packages/cli/src/main.ts",
];

const RULES = {
  // A promise nobody awaits is an error nobody sees.
  "typescript/no-floating-promises": "error",
  "typescript/no-misused-promises": "error",
  "typescript/await-thenable": "error",
  "typescript/return-await": ["error", "error-handling-correctness-only"],
  "typescript/only-throw-error": "error",
  "typescript/switch-exhaustiveness-check": [
    "error",
    { considerDefaultExhaustiveForUnions: true, allowDefaultCaseForExhaustiveSwitch: true },
  ],
  "typescript/no-explicit-any": "error",
  "typescript/no-non-null-assertion": "error",
  "typescript/no-unsafe-argument": "error",
  "typescript/no-unsafe-assignment": "error",
  "typescript/no-unsafe-call": "error",
  "typescript/no-unsafe-member-access": "error",
  "typescript/no-unsafe-return": "error",
  // Spreading a string gives its code points, which is what parsers want.
  "typescript/no-misused-spread": ["error", { allow: ["string"] }],
  "typescript/no-base-to-string": "error",
  "typescript/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
  "typescript/ban-ts-comment": "error",
  "eslint/eqeqeq": "error",
  "eslint/no-empty": ["error", { allowEmptyCatch: false }],
  // `.catch(() => {})` swallows an error: say in the body why it may.
  "eslint/no-empty-function": "error",
  "eslint/no-useless-catch": "error",
  // Formats of our field forbid control characters: parsers have to name them.
  "eslint/no-control-regex": "off",
  "eslint/no-var": "error",
  "eslint/prefer-const": "error",
  "eslint/no-eval": "error",
  "eslint/no-new-func": "error",
  "import/no-cycle": ["error", { ignoreTypes: false }],
  "import/no-self-import": "error",
  "unicorn/no-process-exit": "error",
  "vitest/expect-expect": ["error", { assertFunctionNames: ["expect", "expect*", "assert*", "fc.assert"] }],
  // The second argument is what a failure says.
  "vitest/valid-expect": ["error", { maxArgs: 2 }],
  // A function that several tests call may expect.
  "vitest/no-standalone-expect": "off",
  "vitest/no-focused-tests": "error",
  "vitest/no-disabled-tests": "error",
} as const;

/** The whole content of `.oxlintrc.json`. */
export function lintConfig(): string {
  const config = {
    $schema: "./node_modules/oxlint/configuration_schema.json",
    plugins: ["eslint", "typescript", "unicorn", "oxc", "import", "vitest"],
    categories: { correctness: "error" },
    options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: "error" },
    ignorePatterns: ["dist/**", "data/**", ".cache/**", "coverage/**"],
    rules: RULES,
    overrides: [
      { files: [...ENTRY_POINTS, "scripts/**"], rules: { "unicorn/no-process-exit": "off" } },
      ...overrides().map(({ files, restrictions }) => ({
        files,
        rules: { "eslint/no-restricted-imports": ["error", { patterns: restrictions }] },
      })),
    ],
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
