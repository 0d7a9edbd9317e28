import { z } from "zod";

/** The name of a stored policy: part of URLs, and never to be taken for a digest. */
export const policyName = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/, {
    error: "is lower-case letters and digits with single dots, dashes or underscores between",
  });
