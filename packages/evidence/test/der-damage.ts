/** Every way to damage one value of a DER structure, so that the rest stays well-formed: lengths are written anew. */
import { concatBytes, EvidenceError } from "../src/index.ts";
import { DerReader, derValue, TAG_OCTET_STRING } from "../src/der.ts";

type Node = { readonly tag: number; readonly contents: Uint8Array; readonly children: readonly Node[] | undefined };

export type Damage = { readonly what: string; readonly der: Uint8Array };

/** Each value dropped, duplicated and altered in its last bit (its tag, where there are no contents), one at a time. */
export function damages(der: Uint8Array): Damage[] {
  const [root] = parse(der) ?? [];
  if (root === undefined) throw new Error("not DER");
  return edits(root, "0").map(({ what, nodes }) => ({ what, der: concatBytes(...nodes.map(write)) }));
}

type Edit = { readonly what: string; readonly nodes: readonly Node[] };

function edits(node: Node, path: string): Edit[] {
  const here: Edit[] = [
    { what: `${path} altered`, nodes: [altered(node)] },
    { what: `${path} dropped`, nodes: [] },
    { what: `${path} duplicated`, nodes: [node, node] },
  ];
  const { children } = node;
  if (children === undefined) return here;
  const below = children.flatMap((child, i) =>
    edits(child, `${path}.${i}`).map(({ what, nodes }) => {
      const changed = [...children.slice(0, i), ...nodes, ...children.slice(i + 1)];
      return { what, nodes: [{ ...node, children: changed }] };
    }),
  );
  return [...here, ...below];
}

function altered(node: Node): Node {
  if (node.children !== undefined || node.contents.length === 0) return { ...node, tag: node.tag ^ 1 };
  const last = node.contents.length - 1;
  return { ...node, contents: node.contents.with(last, (node.contents[last] ?? 0) ^ 1) };
}

function write({ tag, contents, children }: Node): Uint8Array {
  return children === undefined ? derValue(tag, contents) : derValue(tag, ...children.map(write));
}

function parse(bytes: Uint8Array): Node[] | undefined {
  try {
    const reader = new DerReader(bytes);
    const nodes: Node[] = [];
    while (!reader.done) {
      const { tag, contents } = reader.next();
      // Octet strings of extensions hold DER; a key identifier that happens to be DER is damaged alike.
      const nested =
        (tag & 0x20) !== 0 || (tag === TAG_OCTET_STRING && contents.length > 0) ? parse(contents) : undefined;
      nodes.push({ tag, contents, children: nested });
    }
    return nodes;
  } catch (error) {
    if (error instanceof EvidenceError) return undefined;
    throw error;
  }
}
