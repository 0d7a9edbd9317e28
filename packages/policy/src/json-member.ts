/** A value of unknown origin seen as an object: only its own members exist. `undefined` if it is none. */
export function ownMembers(value: unknown): { readonly [key: string]: unknown } | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as { [key: string]: unknown })
    : undefined;
}

/** The own member of `value` at `keys`, or `undefined`: never what a prototype would answer. */
export function member(value: unknown, ...keys: readonly string[]): unknown {
  let at = value;
  for (const key of keys) {
    const object = ownMembers(at);
    if (object === undefined || !Object.hasOwn(object, key)) return undefined;
    at = object[key];
  }
  return at;
}

/** `value` as a list of texts, or `undefined` if it is not one, or has more than `maximum` entries. */
export function textList(value: unknown, maximum: number): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > maximum) return undefined;
  return value.every((item) => typeof item === "string") ? value : undefined;
}
