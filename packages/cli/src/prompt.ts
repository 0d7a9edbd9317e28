import { usageError } from "./errors.ts";
import type { Session } from "./session.ts";

const MAX_LENGTH = 1024;

/** Asks for a secret at the terminal; what is typed is not shown. Errors: `no-terminal` where there is none, `cancelled`. */
export function askSecret(session: Session, question: string): Promise<string> {
  const { stdin, stderr } = session.io;
  if (stdin.isTTY !== true) throw usageError("no-terminal", "there is no terminal to ask at");
  stderr.write(question);
  stdin.setRawMode(true);
  stdin.setEncoding("utf8");
  stdin.resume();
  return new Promise((resolve, reject) => {
    let typed: string[] = [];
    const finish = (end: () => void): void => {
      stdin.off("data", onData);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write("\n");
      end();
    };
    const onData = (text: string): void => {
      for (const c of text) {
        if (c === "\r" || c === "\n") return finish(() => resolve(typed.join("")));
        if (c === "\u0003" || c === "\u0004") return finish(() => reject(usageError("cancelled", "nothing was given")));
        if (c === "\u007f" || c === "\b") typed = typed.slice(0, -1);
        else if (typed.length < MAX_LENGTH) typed.push(c);
      }
    };
    stdin.on("data", onData);
  });
}
