import { SaxesParser } from "saxes";

/** Bounds on an XML answer: a list of 1000 keys of 1 KiB each fits with room. */
const MAX_DEPTH = 8;
const MAX_ELEMENTS = 20_000;

/** An element of an answer. Attributes and namespaces mean nothing in S3's answers and are not kept. */
export interface XmlElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface Open {
  readonly name: string;
  text: string;
  readonly children: XmlElement[];
}

/**
 * Parses an XML answer strictly: well-formed, no document type (so no entities but XML's own five), bounded depth and count.
 *
 * @throws Error saying what is wrong.
 */
export function parseXml(text: string): XmlElement {
  const parser = new SaxesParser();
  const stack: Open[] = [];
  let root: XmlElement | undefined;
  let elements = 0;
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("doctype", () => {
    throw new Error("it has a document type");
  });
  parser.on("processinginstruction", () => {
    throw new Error("it has a processing instruction");
  });
  parser.on("opentag", (tag) => {
    elements += 1;
    if (elements > MAX_ELEMENTS) throw new Error(`it has more than ${MAX_ELEMENTS} elements`);
    if (stack.length >= MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH}`);
    stack.push({ name: tag.name, text: "", children: [] });
  });
  const addText = (part: string): void => {
    const open = stack.at(-1);
    if (open !== undefined) open.text += part;
  };
  parser.on("text", addText);
  parser.on("cdata", addText);
  parser.on("closetag", () => {
    const closed = stack.pop();
    if (closed === undefined) throw new Error("an end tag without its start");
    const parent = stack.at(-1);
    if (parent === undefined) root = closed;
    else parent.children.push(closed);
  });
  parser.write(text).close();
  if (root === undefined) throw new Error("it is empty");
  return root;
}

/** The one child `name`; undefined when there is none. @throws Error when there are several. */
export function child(element: XmlElement, name: string): XmlElement | undefined {
  const found = element.children.filter((candidate) => candidate.name === name);
  if (found.length > 1) throw new Error(`${element.name} has ${found.length} ${name}`);
  return found[0];
}

/** The text of the one child `name`; undefined when there is none. */
export function textOf(element: XmlElement, name: string): string | undefined {
  return child(element, name)?.text;
}

/** The text of the child `name`, which must be there. @throws Error. */
export function requiredText(element: XmlElement, name: string): string {
  const text = textOf(element, name);
  if (text === undefined || text === "") throw new Error(`${element.name} lacks ${name}`);
  return text;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/** Text as it stands in XML. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}
