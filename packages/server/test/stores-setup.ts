/**
 * One PostgreSQL and one S3 server for the whole run; each test directory gets a database (test/database.ts) and a prefix
 * (test/stored-blobs.ts) of its own on them.
 */
import type { TestProject } from "vitest/node";
import type { S3Location } from "../src/storage/s3-location.ts";
import { startPostgres } from "./postgres-server.ts";
import { startS3rver } from "./s3-server.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** URL of the PostgreSQL of this run, as its superuser. */
    postgresUrl: string;
    /** The bucket of the S3 server of this run. */
    s3Location: S3Location;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [postgres, s3] = await Promise.all([startPostgres(), startS3rver()]);
  project.provide("postgresUrl", postgres.url("postgres"));
  project.provide("s3Location", s3.location);
  return async () => {
    await Promise.all([postgres.stop(), s3.stop()]);
  };
}
