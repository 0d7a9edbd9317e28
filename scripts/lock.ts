/**
 * `npm run lock`: makes package-lock.json one that `npm ci` takes on every machine: an entry for each optional platform package that npm
 * left out, and no `engines` of outside packages. Run it after every change of dependencies; scripts/platform-packages.ts says why.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { completeLock, type Lock, withoutEngines } from "./platform-packages.ts";

const path = new URL("../package-lock.json", import.meta.url);
const before = readFileSync(path, "utf8");
const { lock, added } = completeLock(JSON.parse(before) as Lock);
const after = `${JSON.stringify(withoutEngines(lock), null, 2)}\n`;
if (after !== before) writeFileSync(path, after);
for (const { name, version } of added) console.log(`added ${name} ${version}`);
console.log(after === before ? "package-lock.json is as it should be" : "package-lock.json written");
