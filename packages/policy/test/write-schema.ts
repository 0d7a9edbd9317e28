// Writes docs/policy.schema.json from the Zod schema: node packages/policy/test/write-schema.ts
import { writeFileSync } from "node:fs";
import { policySchema } from "../src/schema.ts";

const target = new URL("../../../docs/policy.schema.json", import.meta.url);
writeFileSync(target, `${JSON.stringify(policySchema(), null, 2)}\n`);
