/**
 * The database under test: SQLite, or PostgreSQL when the project says so (vitest.config.ts). A test's data directory names its
 * database, so that what reopens the directory finds the same one.
 */
import { randomBytes } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import { inject } from "vitest";
import type { DatabasePlace } from "../src/storage/open.ts";
import { VALUE_TYPES } from "../src/storage/postgres-types.ts";
import { databasePath } from "../src/storage/sqlite.ts";
// What `inject` gives is declared where it is provided.
import type {} from "./stores-setup.ts";

/** The engine this project's tests run on. */
export const ENGINE: "sqlite" | "postgres" = process.env["ASSAY_TEST_DATABASE"] === "postgres" ? "postgres" : "sqlite";

const urls = new Map<string, Promise<string>>();

/** Runs statements as the superuser of the run's PostgreSQL. */
async function administer(...statements: string[]): Promise<void> {
  const client = new Client({ connectionString: inject("postgresUrl") });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

function nameIn(url: string): string {
  return new URL(url).pathname.slice(1);
}

async function makeDatabase(): Promise<string> {
  const name = `test_${randomBytes(8).toString("hex")}`;
  await administer(`create database ${name}`);
  const url = new URL(inject("postgresUrl"));
  url.pathname = `/${name}`;
  return url.href;
}

/** Where the database of a data directory is; on PostgreSQL made at the first call. */
export async function placeOf(dataDirectory: string): Promise<DatabasePlace & { databaseUrl: string | undefined }> {
  if (ENGINE === "sqlite") return { dataDirectory, databaseUrl: undefined };
  let url = urls.get(dataDirectory);
  if (url === undefined) {
    url = makeDatabase();
    urls.set(dataDirectory, url);
  }
  return { dataDirectory, databaseUrl: await url };
}

/** Removes the database of a data directory, if it is not in the directory itself. */
export async function dropPlace(dataDirectory: string): Promise<void> {
  const url = await urls.get(dataDirectory);
  if (url === undefined) return;
  urls.delete(dataDirectory);
  await administer(`drop database if exists ${nameIn(url)} with (force)`);
}

/** A copy of a stopped server's database: what puts it back as it was, as often as wanted. */
export async function copyDatabase(dataDirectory: string): Promise<() => Promise<void>> {
  const { databaseUrl } = await placeOf(dataDirectory);
  if (databaseUrl === undefined) {
    const path = databasePath(dataDirectory);
    const bytes = await readFile(path);
    return async () => {
      await writeFile(path, bytes);
      await rm(`${path}-wal`, { force: true });
      await rm(`${path}-shm`, { force: true });
    };
  }
  const name = nameIn(databaseUrl);
  const copy = `${name}_${randomBytes(4).toString("hex")}`;
  await administer(`create database ${copy} template ${name}`);
  return () => administer(`drop database if exists ${name} with (force)`, `create database ${name} template ${copy}`);
}

/** Direct access to the tables, for tests that damage them. */
export interface RawDatabase {
  all(sql: string, parameters?: readonly unknown[]): Promise<Record<string, unknown>[]>;
  /** Statements without parameters, separated by semicolons, or one with them. */
  run(sql: string, parameters?: readonly unknown[]): Promise<void>;
  /** Bytes as a literal of this database's SQL. */
  bytes(hex: string): string;
  close(): Promise<void>;
}

/** `?` is a parameter in both. */
export async function openRaw(dataDirectory: string): Promise<RawDatabase> {
  const { databaseUrl } = await placeOf(dataDirectory);
  if (databaseUrl === undefined) {
    const database = new DatabaseSync(databasePath(dataDirectory));
    return {
      all: async (sql, parameters = []) => database.prepare(sql).all(...(parameters as never[])),
      async run(sql, parameters) {
        if (parameters === undefined) database.exec(sql);
        else database.prepare(sql).run(...(parameters as never[]));
      },
      bytes: (hex) => `X'${hex}'`,
      close: async () => database.close(),
    };
  }
  const client = new Client({ connectionString: databaseUrl, types: VALUE_TYPES });
  await client.connect();
  const numbered = (sql: string): string => {
    let count = 0;
    return sql.replaceAll("?", () => `$${++count}`);
  };
  return {
    all: async (sql, parameters = []) =>
      (await client.query<Record<string, unknown>>(numbered(sql), [...parameters])).rows,
    async run(sql, parameters) {
      await (parameters === undefined ? client.query(sql) : client.query(numbered(sql), [...parameters]));
    },
    bytes: (hex) => `'\\x${hex}'::bytea`,
    close: () => client.end(),
  };
}
