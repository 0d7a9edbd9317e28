import { destination } from "pino";
import type { Outcome } from "./outcome.ts";

/** One request as the access log has it. No header, no query, no path: nothing a secret could stand in. */
export interface AccessLine {
  readonly request: string;
  /** W3C trace id, where requests are traced. */
  readonly trace?: string | undefined;
  readonly operation: string;
  readonly method: string;
  /** Who asked: `person:alice`, `service:acme/ci`, `admin`, `(anonymous)`. */
  readonly actor: string;
  /** What they showed: `api-key`, `registry-token`, `workload-token`, `admin-token`; absent when nothing good. */
  readonly credential?: string | undefined;
  readonly credentialId?: string | undefined;
  readonly workload?: string | undefined;
  readonly org?: string | undefined;
  readonly repository?: string | undefined;
  readonly tag?: string | undefined;
  readonly digest?: string | undefined;
  readonly attestation?: string | undefined;
  /** What a token was given out for: `repository:acme/app:pull,push`. */
  readonly granted?: string | undefined;
  /** Null when no answer was begun. */
  readonly status: number | null;
  readonly outcome: Outcome;
  /** Bytes over the connection. */
  readonly received: number;
  readonly sent: number;
  /** Milliseconds. */
  readonly ms: number;
  readonly remote: string;
}

/** Where lines of the access log go. */
export interface AccessLog {
  write(line: AccessLine): void;
  /** Opens the file anew under its name: it was moved away. */
  reopen(): void;
  /** Writes what is gathered. */
  close(): void;
}

/**
 * Opens the access log: a JSON line for each request that ended.
 *
 * @param place a file (made with mode 0600, appended to; several processes may), or `stdout`.
 * @param trouble told when lines cannot be written; they are lost, and requests go on.
 */
export function openAccessLog(place: string, trouble: (error: Error) => void): AccessLog {
  const file = place !== "stdout";
  const out = destination({ dest: file ? place : 1, sync: false, append: true, minLength: 0, mode: 0o600 });
  let troubled = false;
  out.on("error", (error: Error) => {
    // Said once: a disk that is full would be said of every line.
    if (!troubled) trouble(error);
    troubled = true;
  });
  return {
    write(line) {
      out.write(`${JSON.stringify({ time: new Date().toISOString(), log: "access", ...line })}\n`);
    },
    reopen() {
      if (file) out.reopen();
      troubled = false;
    },
    close() {
      try {
        out.flushSync();
      } catch (error) {
        trouble(error instanceof Error ? error : new Error(String(error)));
      }
    },
  };
}
