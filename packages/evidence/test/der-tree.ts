/** DER as a tree that can be changed at any place and written again with right lengths: for walks over every field of a structure. */
import { concatBytes } from "../src/index.ts";
import { DerReader, derValue } from "../src/der.ts";

export type DerNode = {
  readonly tag: number;
  readonly contents: Uint8Array;
  readonly children: readonly DerNode[] | undefined;
};

/** The tree of one value. What an OCTET STRING holds is walked into as well when it is DER: so a token's TSTInfo is reached. */
export function derTree(der: Uint8Array): DerNode {
  const [node, ...more] = nodesOf(der) ?? [];
  if (node === undefined || more.length > 0) throw new Error("not one DER value");
  return node;
}

function nodesOf(bytes: Uint8Array): DerNode[] | undefined {
  const nodes: DerNode[] = [];
  try {
    const reader = new DerReader(bytes);
    while (!reader.done) {
      const { tag, contents } = reader.next();
      const walkable = (tag & 0x20) !== 0 || tag === 0x04;
      const inner = walkable ? nodesOf(contents) : undefined;
      nodes.push({ tag, contents, children: inner === undefined || inner.length === 0 ? undefined : inner });
    }
  } catch {
    return undefined;
  }
  return nodes;
}

export function derBytes({ tag, contents, children }: DerNode): Uint8Array {
  return derValue(tag, children === undefined ? contents : concatBytes(...children.map(derBytes)));
}

/** Paths of all nodes below the root, as child numbers. */
export function* derPaths(node: DerNode, path: readonly number[] = []): Generator<readonly number[]> {
  if (path.length > 0) yield path;
  for (const [i, child] of (node.children ?? []).entries()) yield* derPaths(child, [...path, i]);
}

export function derAt(node: DerNode, [head, ...rest]: readonly number[]): DerNode {
  if (head === undefined) return node;
  const child = node.children?.[head];
  if (child === undefined) throw new Error("no such place");
  return derAt(child, rest);
}

/** The tree with the node at `path` replaced by any number of others. */
export function derWith(
  node: DerNode,
  path: readonly number[],
  change: (node: DerNode) => readonly DerNode[],
): DerNode {
  const [head, ...rest] = path;
  if (head === undefined) throw new Error("the root is not replaced");
  const children = (node.children ?? []).flatMap((child, i) => {
    if (i !== head) return [child];
    return rest.length === 0 ? change(child) : [derWith(child, rest, change)];
  });
  return { ...node, children };
}
