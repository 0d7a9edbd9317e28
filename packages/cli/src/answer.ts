import { CliError, Exit } from "./errors.ts";
import type { JsonValue } from "./output.ts";

/**
 * A JSON object a server answered with, read member by member. A server is not trusted to keep to its description: what is
 * not there, or is of another type, is `answer-invalid` (exit 3) and never a default.
 */
export class AnswerObject {
  readonly #members: { readonly [name: string]: JsonValue | undefined };
  readonly #path: string;

  /** `path` names the object in messages. Errors: `answer-invalid` if `value` is no object. */
  constructor(value: JsonValue | undefined, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw answerInvalid(`${path} is no object`);
    this.#members = value as { readonly [name: string]: JsonValue | undefined };
    this.#path = path;
  }

  /** The object as it came. */
  get json(): { readonly [name: string]: JsonValue | undefined } {
    return this.#members;
  }

  raw(name: string): JsonValue | undefined {
    return Object.hasOwn(this.#members, name) ? this.#members[name] : undefined;
  }

  text(name: string): string {
    const value = this.raw(name);
    if (typeof value !== "string") throw this.#wrong(name, "is no text");
    return value;
  }

  textOrNull(name: string): string | null {
    return this.raw(name) === null ? null : this.text(name);
  }

  /** A whole number that JSON carries exactly: a sequence, a size, ms since 1970. */
  whole(name: string): number {
    const value = this.raw(name);
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw this.#wrong(name, "is no whole number");
    return value;
  }

  wholeOrNull(name: string): number | null {
    return this.raw(name) === null ? null : this.whole(name);
  }

  flag(name: string): boolean {
    const value = this.raw(name);
    if (typeof value !== "boolean") throw this.#wrong(name, "is neither true nor false");
    return value;
  }

  object(name: string): AnswerObject {
    return new AnswerObject(this.raw(name), `${this.#path}.${name}`);
  }

  objects(name: string): AnswerObject[] {
    return this.#list(name).map((value, at) => new AnswerObject(value, `${this.#path}.${name}[${at}]`));
  }

  texts(name: string): string[] {
    return this.#list(name).map((value) => {
      if (typeof value !== "string") throw this.#wrong(name, "holds something other than texts");
      return value;
    });
  }

  #list(name: string): readonly JsonValue[] {
    const value = this.raw(name);
    if (!isList(value)) throw this.#wrong(name, "is no list");
    return value;
  }

  #wrong(name: string, what: string): CliError {
    return answerInvalid(`${this.#path}.${name} ${what}`);
  }
}

/** An answer that cannot be read: exit 3, whatever was asked. */
export function answerInvalid(what: string, cause?: unknown): CliError {
  return new CliError("answer-invalid", `the server's answer cannot be read: ${what}`, {
    exit: Exit.unknown,
    hint: "Check that the address is that of an Assay server, and that it is not older or newer than this program.",
    cause,
  });
}

/** `Array.isArray` alone would forget what the array holds. */
function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}
