import { Composer, isMap, isNode, isScalar, isSeq, LineCounter, Parser } from "yaml";
import type { CST, Document, Node } from "yaml";
import { LIMITS } from "./limits.ts";
import { INVISIBLE_IN_FILE, showText } from "./quote.ts";

/** A value that a policy file can hold. */
export type YamlValue = string | number | boolean | null | YamlValue[] | { [key: string]: YamlValue };

/** Where something stands in a file: the first line and the first column are 1. */
export type Position = { readonly line: number; readonly column: number };

/** A problem found in a file, and what to do about it. */
export type Problem = Position & { readonly message: string };

/** A path into a document: keys and list indexes. */
export type Path = readonly (string | number)[];

/** A YAML document as plain values, and where each of them stood. */
export type LocatedDocument = {
  readonly value: YamlValue;
  /** Where the value at `path` stands; where it is missing, its nearest container. */
  locate(path: Path): Position;
  /** Where the key of the entry at `path` stands; as `locate` if there is none. */
  locateKey(path: Path): Position;
};

type Result =
  | { readonly ok: true; readonly document: LocatedDocument }
  | { readonly ok: false; readonly problems: Problem[] };

/**
 * Reads one YAML 1.2 document (core schema) for people's configuration: no anchors, aliases, tags, directives or merge keys, no
 * second document, every key a string and unique. It is total: whatever the text, it answers, and within a bounded time.
 */
export function readYaml(text: string): Result {
  const unreadable = refuseText(text);
  if (unreadable !== undefined) return refused(unreadable);
  try {
    return compose(text);
  } catch (error) {
    // The library throws only where a hostile text exhausts the stack; that is an answer about the text too.
    const why = error instanceof Error ? showText(error.message) : "for an unknown reason";
    return refused({ line: 1, column: 1, message: `The file cannot be read as YAML: ${why}.` });
  }
}

function refused(...problems: Problem[]): Result {
  return { ok: false, problems };
}

function compose(text: string): Result {
  const lines = new LineCounter();
  const at = (offset: number): Position => position(lines, offset);
  // The parser works on a stack of its own, so the depth is known before the recursive composer sees the tokens.
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const forbidden = refuseTokens(tokens, at);
  if (forbidden.length > 0) return refused(...forbidden);

  const composer = new Composer({
    version: "1.2",
    schema: "core",
    strict: true,
    uniqueKeys: true,
    merge: false,
    prettyErrors: false,
  });
  const [document, second] = composer.compose(tokens, true, text.length);
  if (document === undefined) return refused({ line: 1, column: 1, message: "The file is empty." });
  if (second !== undefined) {
    return refused({ ...at(second.range[0]), message: "A policy file holds one document: remove this second one." });
  }
  const broken = [...document.errors, ...document.warnings].slice(0, LIMITS.policyErrors);
  if (broken.length > 0)
    return refused(...broken.map((e) => ({ ...at(e.pos[0]), message: sentence(e.code, e.message) })));
  return new Builder(at).build(document);
}

function refuseText(text: string): Problem | undefined {
  const tooLarge = {
    line: 1,
    column: 1,
    message: `The file is larger than ${LIMITS.policyBytes / 1024} KiB: no policy needs that.`,
  };
  if (text.length > LIMITS.policyBytes || new TextEncoder().encode(text).length > LIMITS.policyBytes) return tooLarge;
  const bad = text.isWellFormed() ? INVISIBLE_IN_FILE.exec(text) : /\p{Surrogate}/u.exec(text);
  if (bad === null) return undefined;
  const before = text.slice(0, bad.index).split("\n");
  return {
    line: before.length,
    column: (before.at(-1) ?? "").length + 1,
    message: `The file holds the invisible character ${showText(bad[0])}: remove it.`,
  };
}

/** What YAML can do and a policy must not: everything by which a reader could see something else than the program does. */
const FORBIDDEN: { readonly [type: string]: string } = {
  anchor: "Anchors (&name) are not allowed in a policy: write the value out where it is used.",
  alias: "Aliases (*name) are not allowed in a policy: write the value out.",
  tag: "Tags (!name) are not allowed in a policy: write the plain value.",
  directive: "Directives (%NAME) are not allowed in a policy: remove the line; the language is YAML 1.2.",
};

function refuseTokens(tokens: readonly CST.Token[], at: (offset: number) => Position): Problem[] {
  const problems: Problem[] = [];
  let nodes = 0;
  const stack: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 })).reverse();
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { token, depth } = next;
    const forbidden = Object.hasOwn(FORBIDDEN, token.type) ? FORBIDDEN[token.type] : undefined;
    if (forbidden !== undefined) problems.push({ ...at(token.offset), message: forbidden });
    if (depth > LIMITS.yamlDepth) {
      return [{ ...at(token.offset), message: `The file is nested more than ${LIMITS.yamlDepth} levels deep.` }];
    }
    // Lists of tokens can be as long as the file, so they are walked and never spread into arguments.
    const inside = childrenOf(token);
    if (inside === undefined) {
      return [{ ...at(token.offset), message: `A list or map has more than ${LIMITS.yamlItems} entries.` }];
    }
    nodes += inside.length;
    if (nodes > LIMITS.yamlNodes || problems.length >= LIMITS.policyErrors) break;
    for (const child of inside.toReversed()) if (child) stack.push({ token: child, depth: depth + 1 });
  }
  if (nodes > LIMITS.yamlNodes)
    return [{ line: 1, column: 1, message: "The file has too many entries: no policy needs that." }];
  return problems;
}

/** What a token consists of, in order; `undefined` for a collection with too many entries. */
function childrenOf(token: CST.Token): (CST.Token | null | undefined)[] | undefined {
  switch (token.type) {
    case "document":
      return [...token.start, token.value];
    case "block-scalar":
      return token.props;
    case "block-map":
    case "block-seq":
    case "flow-collection":
      if (token.items.length > LIMITS.yamlItems) return undefined;
      return token.items.flatMap((item) => [...item.start, item.key, ...(item.sep ?? []), item.value]);
    default:
      return [];
  }
}

/** Turns the library's node tree into plain values and remembers where each stood. */
class Builder {
  readonly #at: (offset: number) => Position;
  readonly #places = new Map<string, { key: number; value: number }>();
  readonly #problems: Problem[] = [];

  constructor(at: (offset: number) => Position) {
    this.#at = at;
  }

  build(document: Document.Parsed): Result {
    const value = this.#value(document.contents, [], 0);
    if (this.#problems.length > 0) return { ok: false, problems: this.#problems };
    const place = (path: Path): { key: number; value: number } => {
      for (let length = path.length; length >= 0; length--) {
        const found = this.#places.get(JSON.stringify(path.slice(0, length)));
        if (found !== undefined) return found;
      }
      return { key: 0, value: 0 };
    };
    const document_: LocatedDocument = {
      value,
      locate: (path) => {
        const found = place(path);
        // What is missing is best shown at the key of what lacks it.
        return this.#at(this.#places.has(JSON.stringify(path)) ? found.value : found.key);
      },
      locateKey: (path) => this.#at(place(path).key),
    };
    return { ok: true, document: document_ };
  }

  #value(node: Node | null, path: Path, key: number): YamlValue {
    const start = node?.range?.[0] ?? key;
    this.#places.set(JSON.stringify(path), { key: path.length === 0 ? start : key, value: start });
    if (isScalar(node)) return this.#scalar(node.value, start);
    if (isSeq(node)) {
      return node.items.map((item, index) => {
        const child = item as Node | null;
        return this.#value(child, [...path, index], child?.range?.[0] ?? start);
      });
    }
    if (isMap(node)) return this.#map(node.items as { key: unknown; value: Node | null }[], path, start);
    return null;
  }

  #map(items: readonly { key: unknown; value: Node | null }[], path: Path, start: number): YamlValue {
    const object: { [key: string]: YamlValue } = {};
    for (const { key, value } of items) {
      const offset = (isNode(key) ? key.range?.[0] : undefined) ?? start;
      if (!isScalar(key) || typeof key.value !== "string") {
        this.#problems.push({
          ...this.#at(offset),
          message: "A key must be a word: write it as text, in quotes if need be.",
        });
      } else if (key.value === "__proto__") {
        this.#problems.push({ ...this.#at(offset), message: 'Unknown key "__proto__": remove it.' });
      } else {
        object[key.value] = this.#value(value, [...path, key.value], offset);
      }
    }
    return object;
  }

  #scalar(value: unknown, start: number): YamlValue {
    if (value === null || typeof value === "string" || typeof value === "boolean" || typeof value === "number")
      return value;
    this.#problems.push({
      ...this.#at(start),
      message: "This is not a text, number, true or false: put it in quotes.",
    });
    return null;
  }
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function sentence(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "This key stands here twice: keep one of them.";
  if (code === "TAB_AS_INDENT") return "A tab indents this line: use spaces.";
  const [first = message] = message.split("\n");
  return `Not valid YAML: ${showText(first).replace(/[.:]$/, "")}.`;
}
