import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CliError, Exit } from "../errors.ts";
import { collect } from "../record/collect.ts";
import type { Session } from "../session.ts";

/** The service's programs: the bundle beside ours, and the source below the same packages folder. */
const PROGRAMS = {
  start: { bundle: "server.mjs", source: "main.ts" },
  admin: { bundle: "admin.mjs", source: "admin.ts" },
} as const;

const DATA = ["--data <directory>", "where everything is kept (ASSAY_DATA; default: ./data)"] as const;

const AGAINST = ["--against <file>", "hold the record against a checkpoint you kept, too"] as const;

/** What opens an encrypted archive. */
const OPENS: readonly (readonly [flag: string, meaning: string])[] = [
  ["--identity-file <file>", "the age identity an archive was encrypted for"],
  ["--passphrase-file <file>", "the passphrase an archive was encrypted under, in this file's first line"],
];

const VKEY = ["--vkey <vkey>", "the log's verifier key that must have signed"] as const;

/** The service's own flags, but for --org, which every verb has. Its secrets have variables only: flags show in process lists. */
const START: readonly (readonly [flag: string, meaning: string])[] = [
  ["--listen <host:port>", "where to listen (ASSAY_LISTEN; default: 127.0.0.1:8400)"],
  DATA,
  ["--blobs-url <url>", "keep blobs in S3: s3://bucket/prefix?endpoint=… (ASSAY_BLOBS_URL)"],
  ["--public-url <url>", "scheme, host and port that clients use (ASSAY_PUBLIC_URL; default: from --listen)"],
  ["--enable-admin <1>", "enable a disabled bootstrap admin again, at this start (ASSAY_ENABLE_ADMIN)"],
  ["--tls <self-signed>", "serve TLS with a certificate made here, for trying out (ASSAY_TLS)"],
  ["--tls-cert <file>", "serve TLS with this certificate, in PEM (ASSAY_TLS_CERT)"],
  ["--tls-key <file>", "and this private key, in PEM (ASSAY_TLS_KEY)"],
  ["--metrics-listen <host:port>", "serve /metrics there (ASSAY_METRICS_LISTEN)"],
  ["--access-log <file>", "a JSON line for each request, there or to stdout (ASSAY_ACCESS_LOG)"],
  ["--otlp-endpoint <url>", "send spans to this OpenTelemetry collector (ASSAY_OTLP_ENDPOINT)"],
  ["--trace-ratio <number>", "the part of traces that is sent, 0 to 1 (ASSAY_TRACE_RATIO; default: 1)"],
  ["--log-level <level>", "fatal, error, warn, info, debug, trace or silent (ASSAY_LOG_LEVEL; default: info)"],
  ["--workers <number>", "processes that answer HTTP (ASSAY_WORKERS; default: 1)"],
  ["--disk-floor <bytes>", "free space below which writes are refused (ASSAY_DISK_FLOOR; default: 256M)"],
  ["--max-buffered <bytes>", "memory for the bodies of requests under way (ASSAY_MAX_BUFFERED)"],
  ["--max-memory <bytes>", "memory above which bodies are refused (ASSAY_MAX_MEMORY)"],
  ["--max-connections <number>", "connections at once (ASSAY_MAX_CONNECTIONS; default: 4096)"],
  ["--blobs-redirect <1>", "send pulls of blobs to S3 itself, by URLs that end in a minute (ASSAY_BLOBS_REDIRECT)"],
  ["--deleted-grace <time>", "how long what was deleted can come back, for example 7d (ASSAY_DELETED_GRACE)"],
  ["--sparse-manifests <1>", "take manifests that name what their repository does not have (ASSAY_SPARSE_MANIFESTS)"],
  ["--scrub-rate <bytes>", "bytes per second of the background scrub, 0 is off (ASSAY_SCRUB_RATE; default: 8M)"],
  [
    "--oidc-issuers <urls>",
    "whose CI tokens are exchanged for ours, or none (ASSAY_OIDC_ISSUERS; default: GitHub, GitLab)",
  ],
  ["--egress-private <hosts>", "hosts that may be asked at private addresses (ASSAY_EGRESS_PRIVATE)"],
  ["--witness-policy <file>", "who must cosign this service's checkpoints: a tlog-policy (ASSAY_WITNESS_POLICY)"],
  ["--witness-late <time>", "how long a quorum of them may take: 90s, 5m, 1h (ASSAY_WITNESS_LATE; default: 5m)"],
  ["--witness-logs <file>", "the logs of others to witness, a verifier key a line (ASSAY_WITNESS_LOGS)"],
  ["--drain-grace <seconds>", "how long a stopping service still takes connections (ASSAY_DRAIN_GRACE; default: 0)"],
];

interface AdministrationVerb {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly (readonly [flag: string, meaning: string])[];
  /** Positional arguments, as commander writes them: `<archive...>`. */
  readonly operands?: string;
}

/** What `assay server` does besides `start`: the commands of the service's administration program. */
const ADMINISTRATION: readonly AdministrationVerb[] = [
  {
    name: "check",
    description: "re-verify everything a data directory holds; exit 1 when anything is wrong",
    flags: [DATA, AGAINST, ["--incremental", "only what came after the last check, if that found everything whole"]],
  },
  {
    name: "rebuild",
    description: "refill the tables from the events, with the service stopped",
    flags: [DATA],
  },
  {
    name: "redact",
    description: "replace strings of recorded events, by an event, for good, with the service stopped",
    flags: [
      DATA,
      ["--reason <text>", "why; it stands in the record"],
      ["--preview", "show what would change, and where else the text stands, and change nothing"],
    ],
    operands: "<sequence:pointer[=replacement]...>",
  },
  {
    name: "upgrade",
    description: "show what an upgrade has left to do",
    flags: [DATA, ["--finish", "do it; from then on older versions are refused"]],
  },
  {
    name: "rotate-master-key",
    description:
      "encrypt the private keys under another master key: ASSAY_NEW_MASTER_KEY, else a fresh one in master.key",
    flags: [DATA],
  },
  {
    name: "backup",
    description: "write everything under the newest checkpoint into one archive, beside a running service or not",
    flags: [
      DATA,
      ["--to <file>", "where the archive goes; - for standard output"],
      ["--since <archive>", "only what came since this archive (or its index)"],
      ["--recipient <age1...>", "encrypt it for these age recipients"],
      ["--passphrase-file <file>", "encrypt it under the passphrase in this file's first line"],
      ["--identity-file <file>", "what opens the archive named with --since, where its index is not beside it"],
    ],
  },
  {
    name: "verify-backup",
    description: "re-verify archives, the full one first, without restoring them; exit 1 when anything is wrong",
    flags: [...OPENS, AGAINST, VKEY],
    operands: "<archive...>",
  },
  {
    name: "restore",
    description: "restore archives, the full one first, into the configured, empty place, with the service stopped",
    flags: [DATA, ...OPENS, VKEY],
    operands: "<archive...>",
  },
  {
    name: "succeed",
    description: "close a log whose newest entries are lost and open its successor, with the service stopped",
    flags: [
      DATA,
      ["--reason <text>", "why; it stands in the record"],
      ["--against <file>", "a newer checkpoint of the log than this data directory has"],
    ],
  },
];

export function define(command: Command, session: Session): void {
  subVerb(command, "start", "run the service until it is stopped", START)
    .addHelpText(
      "after",
      "\nWith the global --org NAME (ASSAY_ORG): the default organisation, fixed at the first start. Variables only:\n" +
        "ASSAY_DATABASE_URL, ASSAY_MASTER_KEY, ASSAY_ADMIN_TOKEN, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY. docs/operations.md says what each setting means.",
    )
    .action((_options: unknown, sub: Command) => {
      const { org } = sub.optsWithGlobals<{ org?: string }>();
      return runProgram(session, PROGRAMS.start, [...written(sub), ...(org === undefined ? [] : ["--org", org])]);
    });
  command
    .command("collect")
    .description("have a running service remove the bytes that nothing needs any more, now (for the bootstrap admin)")
    .option("--preview", "count what would go, and remove nothing")
    .action((options: { preview?: true }) => collect(session, options.preview === true));
  for (const { name, description, flags, operands = "" } of ADMINISTRATION) {
    const sub = subVerb(command, name, description, flags);
    if (operands !== "") sub.argument(operands);
    sub.action(() =>
      runProgram(session, PROGRAMS.admin, [name, ...sub.args, ...written(sub), "--output", session.output.format]),
    );
  }
}

function subVerb(
  command: Command,
  name: string,
  description: string,
  flags: readonly (readonly [flag: string, meaning: string])[],
): Command {
  const sub = command.command(name).description(description);
  for (const [flag, meaning] of flags) sub.option(flag, meaning);
  return sub;
}

/** The sub-verb's options as they are passed on to the program. */
function written(sub: Command): string[] {
  return sub.options.flatMap((option) => {
    const value: unknown = sub.getOptionValue(option.attributeName());
    if (value === true) return [option.long ?? ""];
    if (Array.isArray(value)) return value.map((item) => `${option.long ?? ""}=${String(item)}`);
    return typeof value === "string" ? [`${option.long ?? ""}=${value}`] : [];
  });
}

/** Where a program is: this file lies in dist/ when bundled, else in packages/cli/src/verbs/. */
function programPath({ bundle, source }: { readonly bundle: string; readonly source: string }): string {
  const candidates = [
    new URL(`./${bundle}`, import.meta.url),
    new URL(`../../../server/src/${source}`, import.meta.url),
  ];
  const found = candidates.map((url) => fileURLToPath(url)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new CliError("server-not-installed", "the service's programs are not beside this one", {
    exit: Exit.unknown,
    hint: "Run `assay server` from the installation that holds the service.",
  });
}

/** Half a space of young objects has 8 MiB, not V8's 16. */
const NODE_FLAGS: readonly string[] = ["--max-semi-space-size=8"];

/**
 * What can only be set before a process begins. With one arena for all threads, and what is free at its end given back, the C library holds
 * 30 MiB less of what only the start needed; less than 4 MiB at once it takes from there, and not from the kernel page by page
 * (https://man7.org/linux/man-pages/man3/mallopt.3.html). Eight threads for files keep as many reads and syncs under way, which a disk takes together: libuv
 * has four (https://docs.libuv.org/en/v1.x/threadpool.html).
 */
const ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "4194304",
  MALLOC_TRIM_THRESHOLD_: "131072",
  UV_THREADPOOL_SIZE: "8",
};

/** Runs a program of the service under this very Node, with our terminal, our signals and our environment; its exit is ours. */
async function runProgram(
  session: Session,
  program: { readonly bundle: string; readonly source: string },
  args: readonly string[],
): Promise<void> {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2"] as const;
  const forward = (signal: NodeJS.Signals): void => {
    // Ctrl-C reaches the whole process group already; a second one would stop the child without cleaning up.
    if (signal === "SIGINT" && process.stdin.isTTY) return;
    child.kill(signal);
  };
  // Before the child is there: a signal right after it is must not end this process and leave the service behind.
  for (const signal of signals) process.on(signal, forward);
  const child = spawn(process.execPath, [...NODE_FLAGS, programPath(program), ...args], {
    stdio: "inherit",
    // Whoever set one of them means it.
    env: { ...ENVIRONMENT, ...process.env },
  });
  try {
    const { code, signal } = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
      (resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (code, signal) => resolve({ code, signal }));
      },
    );
    if (signal !== null) throw ended(`was ended by ${signal} (${128 + (constants.signals[signal] ?? 0)})`);
    if (code === Exit.yes || code === Exit.no || code === Exit.usage || code === Exit.unknown) session.answer(code);
    else throw ended(`ended with code ${code}`);
  } finally {
    for (const signal of signals) process.off(signal, forward);
  }
}

function ended(how: string): CliError {
  return new CliError("server-ended", `the service ${how}`, {
    exit: Exit.unknown,
    hint: "Look at what it wrote above.",
  });
}
