/** Checks that a predicate has the form its type's specification gives it. */
import { ownMembers } from "../json-member.ts";
import { LIMITS } from "../limits.ts";
import { quote } from "../quote.ts";

/**
 * What is wrong with one field. `missing`: required and not there. `wrong-type`: there, and not of its JSON type. `empty`: there, and says
 * nothing where something must be said. `bad-value`: of the right JSON type, and none of the values the specification allows.
 * `too-many`: a list longer than is read.
 */
export type ShapeFault = "missing" | "wrong-type" | "empty" | "bad-value" | "too-many";

/** One thing that is not as the type's specification demands. */
export type ShapeProblem = {
  readonly fault: ShapeFault;
  /** The field, as a JSON path in the statement: `$.predicate.scanner.uri`. */
  readonly path: string;
  /** What the specification asks for there, as words that follow "must be". */
  readonly expected: string;
  /** What is there, shortened and escaped for showing. */
  readonly observed: string;
};

/** Problems written down about one predicate; the first one already decides. */
const PROBLEMS = 16;

/** RFC 3339 date-time, the only form of time in in-toto and SLSA predicates. */
const DATE_TIME =
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;

/** Whether `value` is a point in time as predicates write one. */
export function isDateTime(value: unknown): value is string {
  return typeof value === "string" && value.length <= 64 && DATE_TIME.test(value) && !Number.isNaN(Date.parse(value));
}

/**
 * One object of a predicate, asked for its members. Members that nobody asks for are ignored, as in-toto demands; a member that is
 * `null` counts as absent, as its parsing rules say. Nothing here throws: what is wrong is written down, and reading goes on.
 */
export class Shape {
  readonly #value: { readonly [key: string]: unknown };
  readonly #path: string;
  readonly #problems: ShapeProblem[];

  private constructor(value: { readonly [key: string]: unknown }, path: string, problems: ShapeProblem[]) {
    this.#value = value;
    this.#path = path;
    this.#problems = problems;
  }

  /** The problems that `check` finds in a predicate; none if it is of the form. */
  static problems(predicate: unknown, check: (shape: Shape) => void): readonly ShapeProblem[] {
    const problems: ShapeProblem[] = [];
    const object = ownMembers(predicate);
    if (object === undefined) {
      problems.push({ fault: "wrong-type", path: "$.predicate", expected: "an object", observed: quote(predicate) });
    } else {
      check(new Shape(object, "$.predicate", problems));
    }
    return problems;
  }

  /** Whether there is a member of that name that is not null. */
  has(key: string): boolean {
    return this.#get(key) !== undefined;
  }

  /** A text that is not empty, and one of `allowed` if given. */
  text(key: string, allowed?: readonly string[]): this {
    const value = this.#get(key);
    if (value === undefined) return this.#fault("missing", key, "a text");
    if (typeof value !== "string") return this.#fault("wrong-type", key, "a text");
    if (value === "") return this.#fault("empty", key, "a text that is not empty");
    if (allowed !== undefined && !allowed.includes(value))
      return this.#fault("bad-value", key, `one of ${allowed.join(", ")}`);
    return this;
  }

  /** A text, a number or a truth value: what specifications call a version is written as either. */
  scalar(key: string): this {
    const value = this.#get(key);
    if (value === undefined) return this.#fault("missing", key, "a text or a number");
    return typeof value === "object" ? this.#fault("wrong-type", key, "a text or a number") : this;
  }

  /** A time, RFC 3339. */
  time(key: string): this {
    const value = this.#get(key);
    if (value === undefined) return this.#fault("missing", key, "a time (RFC 3339)");
    return isDateTime(value) ? this : this.#fault("bad-value", key, "a time (RFC 3339)");
  }

  /** An object; `check` looks into it. */
  object(key: string, check?: (inner: Shape) => void): this {
    const value = this.#get(key);
    if (value === undefined) return this.#fault("missing", key, "an object");
    const object = ownMembers(value);
    if (object === undefined) return this.#fault("wrong-type", key, "an object");
    check?.(new Shape(object, this.#at(key), this.#problems));
    return this;
  }

  /** A list of objects with at least `least` entries; `check` looks into each. */
  objects(key: string, least: number, check?: (inner: Shape) => void): this {
    const list = this.#list(key, least);
    for (const [index, entry] of (list ?? []).entries()) {
      const object = ownMembers(entry);
      const at = `${key}[${index}]`;
      if (object === undefined) this.#fault("wrong-type", at, "an object", entry);
      else check?.(new Shape(object, this.#at(at), this.#problems));
      if (this.#problems.length >= PROBLEMS) break;
    }
    return this;
  }

  /** A list of texts with at least `least` entries. */
  texts(key: string, least: number): this {
    const list = this.#list(key, least);
    const wrong = (list ?? []).findIndex((entry) => typeof entry !== "string");
    return wrong < 0 ? this : this.#fault("wrong-type", `${key}[${wrong}]`, "a text", list?.[wrong]);
  }

  /** A map from names of algorithms to digests, none of them empty. */
  digests(key: string): this {
    return this.object(key, (set) => set.digestSet());
  }

  /** This object as such a map. */
  digestSet(): void {
    const names = Object.keys(this.#value);
    if (names.length === 0) this.#problem("empty", this.#path, "a map with at least one digest", {});
    for (const name of names.slice(0, PROBLEMS)) this.text(name);
  }

  /** Applies a check of this object only where it has the member. */
  optional(key: string, check: (shape: this) => unknown): this {
    if (this.has(key)) check(this);
    return this;
  }

  /** Notes that a member is missing that only together with others is. */
  missing(key: string, expected: string): this {
    return this.#fault("missing", key, expected);
  }

  #list(key: string, least: number): readonly unknown[] | undefined {
    const value = this.#get(key);
    if (value === undefined) {
      this.#fault("missing", key, "a list");
      return undefined;
    }
    if (!Array.isArray(value)) {
      this.#fault("wrong-type", key, "a list");
      return undefined;
    }
    if (value.length < least) this.#fault("empty", key, `a list of at least ${least}`);
    if (value.length > LIMITS.predicateItems) {
      this.#fault("too-many", key, `a list of at most ${LIMITS.predicateItems}`);
      return undefined;
    }
    const list: readonly unknown[] = value;
    return list;
  }

  #get(key: string): unknown {
    const value = Object.hasOwn(this.#value, key) ? this.#value[key] : undefined;
    return value === null ? undefined : value;
  }

  #at(key: string): string {
    return `${this.#path}.${key}`;
  }

  #fault(fault: ShapeFault, key: string, expected: string, observed: unknown = this.#get(key)): this {
    this.#problem(fault, this.#at(key), expected, observed);
    return this;
  }

  #problem(fault: ShapeFault, path: string, expected: string, observed: unknown): void {
    if (this.#problems.length < PROBLEMS) this.#problems.push({ fault, path, expected, observed: quote(observed) });
  }
}
