import { z } from "zod";
import { Problem } from "./problem.ts";

/** Where a list goes on: the record sequence the whole list is as of, and the position of the last item given. */
export interface Cursor {
  readonly asOf: number;
  readonly position: number;
}

const cursorBody = z.tuple([z.literal(1), z.int().min(-1), z.int().nonnegative()]);

/** Items a page has when the client does not say, and at most. */
export const PAGE_SIZE = { usual: 50, most: 200 };

/** The query parameters of every list. */
export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(PAGE_SIZE.most).default(PAGE_SIZE.usual).describe("Items per page."),
  cursor: z.string().max(256).optional().describe("`next` of the page before."),
};

/** The cursor as clients carry it: opaque to them. */
export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify([1, cursor.asOf, cursor.position])).toString("base64url");
}

/** Reads a cursor that a client brought back. @throws Problem 400 `cursor-invalid`. */
export function decodeCursor(text: string): Cursor {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch (cause) {
    throw invalid(cause);
  }
  const parsed = cursorBody.safeParse(value);
  if (!parsed.success) throw invalid(parsed.error);
  return { asOf: parsed.data[1], position: parsed.data[2] };
}

function invalid(cause: unknown): Problem {
  return new Problem(400, "cursor-invalid", "the cursor is not one this server gave out", {
    hint: "start the list again without a cursor",
    cause,
  });
}

/**
 * The page out of rows fetched with one more than `limit`, which shows whether there is a next.
 *
 * @param position an item's place in the list's order.
 */
export function pageOf<T>(
  rows: readonly T[],
  limit: number,
  asOf: number,
  position: (row: T) => number,
): { items: T[]; next: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const next = rows.length > limit && last !== undefined ? encodeCursor({ asOf, position: position(last) }) : null;
  return { items, next };
}
