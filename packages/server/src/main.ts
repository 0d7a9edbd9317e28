/** `npm start`: reads the configuration, starts the writer and the HTTP processes, and ends them in order. */
import { enableCompileCache } from "node:module";

enableCompileCache();
const { run } = await import("./run.ts");
await run();
