import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Desk } from "./desk.ts";

const EXAMPLES = fileURLToPath(new URL("../../../docs/examples", import.meta.url));

/** Rules for Prometheus, which interop/operations/alarms.test.ts holds against a server. */
const NO_POLICIES = ["alerts.yaml"];

it.each(readdirSync(EXAMPLES).filter((name) => name.endsWith(".yaml") && !NO_POLICIES.includes(name)))(
  "holds that docs/examples/%s is a valid policy",
  async (name) => {
    const desk = new Desk();
    const { stdout, exit } = await desk.assay("policy", "check", join(EXAMPLES, name));
    desk.remove();
    expect(stdout).toContain("is a valid policy");
    expect(exit).toBe(0);
  },
);
