import { usageError } from "../errors.ts";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A time such as 0, 90s, 30m, 24h or 7d, in seconds. @param option whose it is, for the message. Errors: `usage`. */
export function timeOf(option: string, text: string): number {
  const [, number, unit] = /^(\d{1,7})([smhd]?)$/.exec(text) ?? [];
  if (number === undefined || (unit === "" && number !== "0")) {
    throw usageError("usage", `${option} ${JSON.stringify(text)} is no time such as 90s, 30m, 24h, 7d or 0`);
  }
  return Number(number) * (SECONDS[unit ?? ""] ?? 0);
}
