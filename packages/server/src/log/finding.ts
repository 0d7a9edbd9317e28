/** Something wrong with a log's files or state. */
export interface LogFinding {
  readonly kind: "log" | "tile" | "checkpoint";
  readonly where: string;
  readonly problem: string;
  readonly action: string;
  /** The first log entry it is about, where it is about some only. */
  readonly entry?: number;
}
