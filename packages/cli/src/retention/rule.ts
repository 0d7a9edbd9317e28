import { InvalidArgumentError } from "commander";

/** A retention rule as the server takes it. */
export type Rule = { [member: string]: string | string[] | number | true };

const MEMBERS: Readonly<Record<string, string>> = {
  last: "keepLast",
  pushed: "keepPushedDays",
  pulled: "keepPulledDays",
};

/** How a rule is written, for messages. */
export const RULE_FORM = "NAME tags=PATTERN[,PATTERN…]|untagged [releases] [last=N] [pushed=DAYS] [pulled=DAYS]";

/** Reads a rule as it is written on the command line. */
export function ruleOf(text: string): Rule {
  const [name = "", ...words] = text.trim().split(/\s+/);
  const rule: Rule = { name };
  for (const word of words) {
    const mark = word.indexOf("=");
    const key = mark === -1 ? word : word.slice(0, mark);
    const value = mark === -1 ? "" : word.slice(mark + 1);
    const member = Object.hasOwn(MEMBERS, key) ? MEMBERS[key] : undefined;
    if ((key === "untagged" || key === "releases") && mark === -1) rule[key] = true;
    else if (key === "tags" && value !== "") rule["tags"] = value.split(",");
    else if (member !== undefined && /^\d{1,6}$/.test(value)) rule[member] = Number(value);
    else throw new InvalidArgumentError(`"${word}" is no part of a rule: ${RULE_FORM}`);
  }
  return rule;
}
