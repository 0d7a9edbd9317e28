/** `npm start`: reads the configuration, starts the writer and the HTTP processes, and ends them in order. */
import { enableCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";

// The heap is collected when it has grown by a third, and not when it has doubled: measured, a busy server answers as many and holds a fifth less.
setFlagsFromString("--heap-growing-percent=30");
enableCompileCache();
const { run } = await import("./run.ts");
await run();
