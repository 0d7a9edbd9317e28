import manifest from "../package.json" with { type: "json" };

/** The version of the command line, from its package manifest. */
export const VERSION: string = manifest.version;
