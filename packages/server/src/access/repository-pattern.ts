import { z } from "zod";

/** The longest pattern of repositories, characters: that of a repository's name. */
const MAX_PATTERN = 255;

/**
 * Repositories by their whole names: `acme/app`, `acme/team-*` (`*` is part of one component), `acme/team/**` (`**` any number of whole
 * components). `matchesRepository` of @assay/evidence reads them, as it does those of trust.
 */
export const repositoryPatternSchema = z
  .string()
  .min(1)
  .max(MAX_PATTERN)
  .regex(/^[a-z0-9*][a-z0-9._*-]*(?:\/[a-z0-9*][a-z0-9._*-]*)+$/, {
    error:
      "is a whole repository name, org/name, in which * stands for part of a component and ** for any number of them",
  });

/**
 * Whether a pattern speaks of one organisation's repositories and of no other's: its first component is that organisation's name. No wildcard
 * may stand there.
 */
export function isPatternOf(org: string, pattern: string): boolean {
  return pattern.startsWith(`${org}/`);
}
