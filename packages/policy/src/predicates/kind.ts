/** What is known about one kind of predicate: the row of the table. */
import type { Fields } from "./fields.ts";
import type { Shape } from "./shape.ts";

export type PredicateKind = {
  /** Every URI or media type under which it comes, each compared exactly. */
  readonly types: readonly string[];
  /** What people call it. */
  readonly title: string;
  /** Writes down what is not as the specification demands. */
  readonly check: (shape: Shape) => void;
  /** Adds what is worth finding it by. Total: `predicate` may be anything. */
  readonly fields: (fields: Fields, predicate: unknown) => void;
};
