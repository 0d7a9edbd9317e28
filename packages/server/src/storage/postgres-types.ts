import {
  ColumnDefinitionNode,
  DataTypeNode,
  type KyselyPlugin,
  OperationNodeTransformer,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type QueryId,
  type QueryResult,
  type RootOperationNode,
  sql,
  type UnknownRow,
} from "kysely";
import { types } from "pg";
import { ServerError } from "../errors.ts";

/**
 * Turns the column types of the migrations, which are SQLite's words, into PostgreSQL's: `integer` has 64 bits, `blob` is `bytea`, and
 * `text` sorts and compares by its bytes, as SQLite's does, whatever the database's own collation: cursors and `rebuild` depend on
 * one order everywhere.
 */
class PortableColumns extends OperationNodeTransformer {
  protected override transformColumnDefinition(node: ColumnDefinitionNode, queryId?: QueryId): ColumnDefinitionNode {
    const column = super.transformColumnDefinition(node, queryId);
    if (!DataTypeNode.is(column.dataType)) return column;
    switch (column.dataType.dataType) {
      case "integer":
        return { ...column, dataType: DataTypeNode.create("bigint") };
      case "blob":
        return { ...column, dataType: DataTypeNode.create("bytea") };
      case "text":
        return { ...column, dataType: sql`text collate "C"`.toOperationNode() };
      default:
        // A type only one of the databases knows is a fault of the migration, found by its first run.
        throw new ServerError("internal", `a migration names the column type ${column.dataType.dataType}`, {
          hint: "columns are text, integer or blob",
        });
    }
  }
}

/** {@link PortableColumns} as a plugin; only migrations run through it. */
export class PortableColumnsPlugin implements KyselyPlugin {
  readonly #columns = new PortableColumns();

  transformQuery(args: PluginTransformQueryArgs): RootOperationNode {
    return this.#columns.transformNode(args.node, args.queryId);
  }

  transformResult(args: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return Promise.resolve(args.result);
  }
}

/** A 64-bit integer as a number. @throws ServerError `internal` when a number cannot hold it exactly. */
function checkedInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new ServerError("internal", `the database holds the integer ${text}, which a number cannot`);
  }
  return value;
}

/** Bytes as a plain Uint8Array, as node:sqlite gives them. */
function plainBytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.slice("\\x".length), "hex"));
}

/** An integer as a number, or as a bigint when no number can hold it. */
function anyInteger(text: string): number | bigint {
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

/** How columns of each type are read. */
export interface ValueTypes {
  getTypeParser(oid: number, format?: "text" | "binary"): (value: string) => unknown;
}

function valueTypes(integer: (text: string) => unknown): ValueTypes {
  return {
    getTypeParser(oid, format) {
      if (format === "binary") return types.getTypeParser(oid, "binary") as (value: string) => unknown;
      switch (oid) {
        case types.builtins.INT8:
          return integer;
        case types.builtins.BYTEA:
          return plainBytes;
        default:
          return types.getTypeParser(oid, "text") as (value: string) => unknown;
      }
    },
  };
}

/** How values come back from `pg`: the same JavaScript values as from node:sqlite. */
export const VALUE_TYPES = valueTypes(checkedInteger);

/** The same for reading what may be damaged: an integer that no number can hold fails no query. */
export const DAMAGED_VALUE_TYPES = valueTypes(anyInteger);
