/** How requests end: a fixed set, for labels. */
export type Outcome = "ok" | "denied" | "not-found" | "busy" | "refused" | "failed" | "broken-off";

/**
 * How a request ended.
 *
 * @param whole whether the answer went out to its end.
 */
export function outcomeOf(status: number, whole: boolean): Outcome {
  if (!whole) return "broken-off";
  if (status < 400) return "ok";
  if (status === 401 || status === 403) return "denied";
  if (status === 404) return "not-found";
  if (status === 429 || status === 503) return "busy";
  return status < 500 ? "refused" : "failed";
}
