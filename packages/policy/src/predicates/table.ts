/** Every kind of predicate that is recognised: one table, asked by exact type. */
import { quote } from "../quote.ts";
import { INVENTORY_KINDS } from "./inventories.ts";
import type { PredicateKind } from "./kind.ts";
import { PROVENANCE_KINDS } from "./provenance.ts";
import { Shape, type ShapeProblem } from "./shape.ts";
import { SIGNATURE_KINDS } from "./signatures.ts";
import { STEP_KINDS } from "./steps.ts";
import { SUMMARY_KINDS } from "./summaries.ts";

export const PREDICATE_KINDS: readonly PredicateKind[] = [
  ...PROVENANCE_KINDS,
  ...SUMMARY_KINDS,
  ...INVENTORY_KINDS,
  ...STEP_KINDS,
  ...SIGNATURE_KINDS,
];

const BY_TYPE: ReadonlyMap<string, PredicateKind> = new Map(
  PREDICATE_KINDS.flatMap((kind) => kind.types.map((type) => [type, kind] as const)),
);

/** The kind of a predicate type; `undefined` for a type that is not known. Nothing is guessed from a part of it. */
export function predicateKind(predicateType: string): PredicateKind | undefined {
  return BY_TYPE.get(predicateType);
}

/** What people call a predicate of this type, or `undefined` for a type that is not known. */
export function predicateTitle(predicateType: string): string | undefined {
  return predicateKind(predicateType)?.title;
}

/** Every predicate type that is recognised, in the table's order. */
export function recognisedPredicateTypes(): readonly string[] {
  return [...BY_TYPE.keys()];
}

/** What is known of a predicate by its type and form alone; nothing here says that it is true. */
export type PredicateReading =
  | { readonly recognised: false }
  | {
      readonly recognised: true;
      readonly title: string;
      /** What is not as the type's specification demands; empty if all is. At most 16 are listed. */
      readonly problems: readonly ShapeProblem[];
    };

/** Recognises a predicate by its exact type and checks its form. Total: `predicate` may be anything. */
export function readPredicate(predicateType: string, predicate: unknown): PredicateReading {
  const kind = predicateKind(predicateType);
  if (kind === undefined) return { recognised: false };
  return { recognised: true, title: kind.title, problems: Shape.problems(predicate, kind.check) };
}

/** A problem as one sentence for people. */
export function describeProblem({ title }: { readonly title: string }, problem: ShapeProblem): string {
  const what = problem.fault === "missing" ? "is missing" : `is ${problem.observed}`;
  return `It is not of the form of its type (${quote(title)}): ${problem.path} ${what} and must be ${problem.expected}.`;
}
