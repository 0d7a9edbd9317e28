/** `npm start`: reads the configuration, starts the writer and the HTTP processes, and ends them in order. */
import { enableCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";

// The heap is collected when it has grown by three tenths, and not when V8 thinks it time: measured, a busy server answers as many requests and
// holds a fifth less.
setFlagsFromString("--heap-growing-percent=30");
enableCompileCache();
const { run } = await import("./run.ts");
await run();
