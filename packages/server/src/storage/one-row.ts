import { sql } from "kysely";

/**
 * `limit 1`, written into the query. SQLite plans by the value of a limit: were it bound like other values, the query would be parsed and planned
 * again each time it is asked (sqlite3ExprIsInteger of a variable expires the statement when it is bound), which takes longer than most answers.
 */
export const ONE_ROW = sql.lit(1);
