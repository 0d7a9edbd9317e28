/** The environment variables of the process, as given. */
export type Environment = Readonly<Record<string, string | undefined>>;
