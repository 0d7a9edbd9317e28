import { randomBytes } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { z } from "zod";
import { organisationNameSchema } from "./access/names.ts";
import { issuerSchema } from "./access/workload-identity.ts";
import { ServerError } from "./errors.ts";
import { syncDirectorySync } from "./storage/durable.ts";
import { parseBlobsUrl, type S3Location } from "./storage/s3-location.ts";

/** host:port, IPv6 hosts in brackets. */
const listenSchema = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5}$/, "must be host:port, for example 127.0.0.1:8400")
  .transform((text) => {
    const split = text.lastIndexOf(":");
    return { host: text.slice(0, split).replace(/^\[|\]$/g, ""), port: Number(text.slice(split + 1)) };
  })
  .refine((listen) => listen.port >= 1 && listen.port <= 65_535, "the port must be from 1 to 65535");

const publicUrlSchema = z
  .url({ protocol: /^https?$/, error: "must be an http or https URL" })
  .refine((text) => {
    const url = new URL(text);
    return url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  }, "must be scheme, host and port only, for example https://assay.example.com")
  .transform((text) => new URL(text).origin);

/** `postgres://…`. Its messages never repeat the text: it may hold a password. */
const databaseUrlSchema = z.string().refine((text) => {
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(text)) return false;
  const url = new URL(text);
  return (url.hostname !== "" || url.searchParams.has("host")) && url.pathname.length > 1;
}, "must be postgres://user:password@host:5432/database, or postgres:///database?host=/socket/directory");

/** Bytes, with a factor if one likes; `0` is off. */
const sizeSchema = z
  .string()
  .regex(/^\d{1,12}[KMGT]?$/, "must be bytes, or a number with K, M, G or T, for example 256M; 0 is off")
  .transform((text) => Number.parseInt(text, 10) * 1024 ** Math.max(" KMGT".indexOf(text.at(-1) ?? ""), 0))
  .refine((bytes) => Number.isSafeInteger(bytes), "is too large");

/** `s3://bucket/prefix?endpoint=…&region=…&path-style=1`. */
const blobsUrlSchema = z.string().transform((text, context) => {
  try {
    return parseBlobsUrl(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});

/** A collector of OpenTelemetry: where its `/v1/traces` is. It is the operator's own, and may be anywhere. */
const collectorSchema = z.url({ protocol: /^https?$/, error: "must be an http or https URL" }).refine((text) => {
  const url = new URL(text);
  return url.search === "" && url.hash === "" && url.username === "" && url.password === "";
}, "must be scheme, host, port and path only: credentials go into ASSAY_OTLP_HEADERS");

/** `name=value,name=value`, values percent-encoded (OpenTelemetry, "Specifying headers"). Its messages never repeat the text: it may hold a token. */
const headersSchema = z.string().transform((text, context) => {
  const headers: [string, string][] = [];
  for (const part of text.split(",")) {
    const mark = part.indexOf("=");
    const name = part.slice(0, Math.max(mark, 0)).trim();
    const value = decoded(part.slice(mark + 1).trim());
    if (!/^[A-Za-z0-9-]{1,100}$/.test(name) || value === undefined) {
      context.addIssue({ code: "custom", message: "must be name=value, several with commas, values percent-encoded" });
      return z.NEVER;
    }
    headers.push([name.toLowerCase(), value]);
  }
  return Object.fromEntries(headers);
});

function decoded(text: string): string | undefined {
  try {
    const value = decodeURIComponent(text);
    return /^[\x20-\x7e]{0,4096}$/.test(value) ? value : undefined;
  } catch {
    // Not percent-encoded: the message says what it must be.
    return undefined;
  }
}

/** Several, with commas between them. */
function listSchema<S extends z.ZodType<string, string>>(item: S) {
  return z
    .string()
    .transform((text) => text.split(",").map((part) => part.trim()))
    .pipe(z.array(item).max(100));
}

/** A host as URLs spell it, with a port or without. */
const placeSchema = z
  .string()
  .max(300)
  .refine((text) => {
    const url = `https://${text}`;
    // "*" is a character hosts may have; here it would look like a pattern, which there is none of.
    return /^[a-z0-9.:[\]_-]+$/.test(text) && URL.canParse(url) && new URL(url).host === text;
  }, "must be a host, or host:port, in lower case, for example gitlab.internal.example");

/** Where the two largest public CI systems issue their jobs' identity tokens. */
const PUBLIC_ISSUERS = "https://token.actions.githubusercontent.com,https://gitlab.com";

/**
 * Every setting of the server, by its environment variable. A flag of the same name (`--listen` for ASSAY_LISTEN) wins over the
 * variable. This is the only place that reads the environment.
 */
const settingsSchema = z.object({
  ASSAY_LISTEN: listenSchema.prefault("127.0.0.1:8400"),
  ASSAY_DATA: z.string().min(1).default("./data"),
  ASSAY_DATABASE_URL: databaseUrlSchema.optional(),
  ASSAY_BLOBS_URL: blobsUrlSchema.optional(),
  ASSAY_BLOBS_ACCESS_KEY: z.string().min(1).max(512).optional(),
  ASSAY_BLOBS_SECRET_KEY: z.string().min(1).max(512).optional(),
  ASSAY_BLOBS_SESSION_TOKEN: z.string().min(1).max(16_384).optional(),
  AWS_ACCESS_KEY_ID: z.string().max(512).optional(),
  AWS_SECRET_ACCESS_KEY: z.string().max(512).optional(),
  AWS_SESSION_TOKEN: z.string().max(16_384).optional(),
  ASSAY_PUBLIC_URL: publicUrlSchema.optional(),
  ASSAY_MASTER_KEY: z
    .string()
    .regex(/^([0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)$/, "must be 32 bytes in hex or base64: `openssl rand -base64 32`")
    .optional(),
  /** Of `assay server rotate-master-key` alone. */
  ASSAY_NEW_MASTER_KEY: z
    .string()
    .regex(/^([0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=)$/, "must be 32 bytes in hex or base64: `openssl rand -base64 32`")
    .optional(),
  ASSAY_ADMIN_TOKEN: z.string().min(16, "must have at least 16 characters").max(512).optional(),
  ASSAY_ORG: organisationNameSchema.optional(),
  ASSAY_ENABLE_ADMIN: z.enum(["1"], { error: "the only value is 1" }).optional(),
  ASSAY_BLOBS_REDIRECT: z.enum(["1"], { error: "the only value is 1" }).optional(),
  ASSAY_SPARSE_MANIFESTS: z.enum(["1"], { error: "the only value is 1" }).optional(),
  ASSAY_DELETED_GRACE: z
    .string()
    .regex(/^\d{1,4}[hd]$/, "must be a number with h or d, for example 7d; 0d: nothing comes back")
    .transform((text) => Number.parseInt(text, 10) * (text.endsWith("d") ? 86_400_000 : 3_600_000))
    .optional(),
  ASSAY_TLS_CERT: z.string().min(1).optional(),
  ASSAY_TLS_KEY: z.string().min(1).optional(),
  ASSAY_TLS: z.enum(["self-signed"], { error: "the only value is self-signed" }).optional(),
  ASSAY_METRICS_LISTEN: listenSchema.optional(),
  ASSAY_ACCESS_LOG: z.string().min(1).max(4096).optional(),
  ASSAY_OTLP_ENDPOINT: collectorSchema.optional(),
  ASSAY_OTLP_HEADERS: headersSchema.optional(),
  ASSAY_TRACE_RATIO: z
    .string()
    .regex(/^(?:0(?:\.\d{1,6})?|1(?:\.0{1,6})?)$/, "must be a number from 0 to 1")
    .transform(Number)
    .optional(),
  OTEL_EXPORTER_OTLP_ENDPOINT: collectorSchema.optional(),
  OTEL_EXPORTER_OTLP_HEADERS: headersSchema.optional(),
  ASSAY_LOG_LEVEL: z.enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"]).default("info"),
  ASSAY_WORKERS: z
    .string()
    .regex(/^\d{1,2}$/, "must be a number")
    .prefault("1")
    .transform(Number)
    .refine((workers) => workers >= 1 && workers <= 64, "must be from 1 to 64"),
  ASSAY_DISK_FLOOR: sizeSchema.optional(),
  ASSAY_MAX_BUFFERED: sizeSchema.optional(),
  ASSAY_MAX_MEMORY: sizeSchema.optional(),
  ASSAY_MAX_CONNECTIONS: z
    .string()
    .regex(/^\d{1,6}$/, "must be a number; 0 is off")
    .transform(Number)
    .optional(),
  ASSAY_DRAIN_GRACE: z
    .string()
    .regex(/^\d{1,3}$/, "must be seconds, from 0 to 999")
    .transform((seconds) => Number(seconds) * 1000)
    .optional(),
  ASSAY_SCRUB_RATE: sizeSchema.optional(),
  ASSAY_OIDC_ISSUERS: z
    .literal("none")
    .transform((): string[] => [])
    .or(listSchema(issuerSchema))
    .prefault(PUBLIC_ISSUERS),
  ASSAY_EGRESS_PRIVATE: listSchema(placeSchema).optional(),
  ASSAY_WITNESS_POLICY: z.string().min(1).optional(),
  ASSAY_WITNESS_LOGS: z.string().min(1).optional(),
  ASSAY_WITNESS_LATE: z
    .string()
    .regex(/^\d{1,6}[smh]$/, "must be a number with s, m or h, for example 5m")
    .transform(
      (text) => Number.parseInt(text, 10) * { s: 1_000, m: 60_000, h: 3_600_000 }[text.at(-1) as "s" | "m" | "h"],
    )
    .optional(),
});

type Settings = z.output<typeof settingsSchema>;

/** Where TLS comes from. */
export type TlsConfig =
  | { readonly kind: "files"; readonly cert: string; readonly key: string }
  | { readonly kind: "self-signed" };

/** The server's configuration, validated. */
export interface Config {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataDirectory: string;
  /** PostgreSQL; it may hold a password and is never logged. Undefined: SQLite in the data directory. */
  readonly databaseUrl: string | undefined;
  /** Where blobs are in S3, with credentials: never logged. Undefined: in the data directory. */
  readonly s3?: S3Location | undefined;
  /** Scheme, host and port that clients use; what Location, realm and issuer URLs are made from. Undefined: from `listen`. */
  readonly publicUrl: string | undefined;
  readonly masterKey: string | undefined;
  /** What the private keys are to be encrypted under from now on; see `assay server rotate-master-key`. */
  readonly newMasterKey?: string | undefined;
  readonly adminToken: string | undefined;
  /** The default organisation; undefined: the one fixed at first start, or `default` when this is the first. */
  readonly org: string | undefined;
  /** Enable a disabled bootstrap admin again, at this start. */
  readonly enableAdmin: boolean;
  /** Take manifests that name what their repository does not have. Undefined: no. */
  readonly sparseManifests?: boolean | undefined;
  /** Pulls of blobs are sent to S3 itself, by a URL that ends soon. */
  readonly blobRedirects?: boolean | undefined;
  /** How long what was deleted can come back, ms. Undefined: the default (registry/grace.ts). */
  readonly deletedGraceMs?: number | undefined;
  readonly tls: TlsConfig | undefined;
  readonly metricsListen: { readonly host: string; readonly port: number } | undefined;
  /** A file, or `stdout`. Undefined: no access log. */
  readonly accessLog?: string | undefined;
  /** Where spans are sent; its headers may hold a token: never logged. Undefined: nowhere. */
  readonly collector?:
    | { readonly endpoint: string; readonly headers: Readonly<Record<string, string>>; readonly ratio: number }
    | undefined;
  readonly logLevel: Settings["ASSAY_LOG_LEVEL"];
  readonly workers: number;
  /** Bytes kept free under the data directory. Of this and the four after it: 0 is off, undefined the default (pressure/limits.ts). */
  readonly diskFloor?: number | undefined;
  /** Bytes of bodies held in memory. */
  readonly maxBuffered?: number | undefined;
  /** Resident bytes. */
  readonly maxMemory?: number | undefined;
  readonly maxConnections?: number | undefined;
  /** How long a server that was told to stop says so before it takes no more connections, ms. */
  readonly drainGraceMs?: number | undefined;
  /** Bytes per second the background scrub reads; 0 is off, undefined the default (integrity/limits.ts). */
  readonly scrubRate?: number | undefined;
  /** Whose identity tokens are exchanged for ours, as they spell it. */
  readonly oidcIssuers?: readonly string[] | undefined;
  /** Hosts that may be asked although they have private addresses. */
  readonly egressPrivate?: readonly string[] | undefined;
  /** Files: the witnesses of our own log (tlog-policy), and the logs we witness (verifier keys). */
  readonly witnessPolicy?: string | undefined;
  readonly witnessLogs?: string | undefined;
  /** How long a quorum of witnesses may take before it is late, ms. Undefined: the default. */
  readonly witnessLateMs?: number | undefined;
}

const FLAGS: readonly (keyof typeof settingsSchema.shape)[] = [
  "ASSAY_LISTEN",
  "ASSAY_DATA",
  "ASSAY_BLOBS_URL",
  "ASSAY_PUBLIC_URL",
  "ASSAY_ORG",
  "ASSAY_ENABLE_ADMIN",
  "ASSAY_BLOBS_REDIRECT",
  "ASSAY_SPARSE_MANIFESTS",
  "ASSAY_DELETED_GRACE",
  "ASSAY_TLS",
  "ASSAY_TLS_CERT",
  "ASSAY_TLS_KEY",
  "ASSAY_METRICS_LISTEN",
  "ASSAY_ACCESS_LOG",
  "ASSAY_OTLP_ENDPOINT",
  "ASSAY_TRACE_RATIO",
  "ASSAY_LOG_LEVEL",
  "ASSAY_WORKERS",
  "ASSAY_DISK_FLOOR",
  "ASSAY_MAX_BUFFERED",
  "ASSAY_MAX_MEMORY",
  "ASSAY_MAX_CONNECTIONS",
  "ASSAY_DRAIN_GRACE",
  "ASSAY_SCRUB_RATE",
  "ASSAY_OIDC_ISSUERS",
  "ASSAY_EGRESS_PRIVATE",
  "ASSAY_WITNESS_POLICY",
  "ASSAY_WITNESS_LOGS",
  "ASSAY_WITNESS_LATE",
];

/** `--listen` for ASSAY_LISTEN. Secrets have no flag: they would show in process lists. */
function flagName(setting: string): string {
  return setting.slice("ASSAY_".length).toLowerCase().replaceAll("_", "-");
}

/** The help text's lines about settings: every variable, and its flag where it has one. Secrets have none. */
export function settingsHelp(): string {
  return Object.keys(settingsSchema.shape)
    .map((setting) => {
      const flag = FLAGS.some((name) => name === setting) ? `--${flagName(setting)}` : "";
      return `  ${flag.padEnd(18)} ${setting}`;
    })
    .join("\n");
}

/**
 * Reads the configuration from flags and environment.
 *
 * @throws ServerError `config-invalid`, naming each wrong setting.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>, argv: readonly string[]): Config {
  let flags: Record<string, string | boolean | undefined>;
  try {
    flags = parseArgs({
      args: [...argv],
      strict: true,
      options: Object.fromEntries(FLAGS.map((setting) => [flagName(setting), { type: "string" as const }])),
    }).values;
  } catch (cause) {
    throw new ServerError("config-invalid", cause instanceof Error ? cause.message : String(cause), {
      hint: `flags are:\n${settingsHelp()}`,
    });
  }
  const input: Record<string, unknown> = {};
  for (const name of Object.keys(settingsSchema.shape)) {
    const value = flags[flagName(name)] ?? environment[name];
    if (value !== undefined && value !== "") input[name] = value;
  }
  const parsed = settingsSchema.safeParse(input);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => `${String(issue.path[0] ?? "settings")}: ${issue.message}`);
    throw new ServerError("config-invalid", lines.join("\n"), { hint: "see docs/operations.md for every setting" });
  }
  const settings = parsed.data;
  return {
    listen: settings.ASSAY_LISTEN,
    dataDirectory: resolve(settings.ASSAY_DATA),
    databaseUrl: settings.ASSAY_DATABASE_URL,
    s3: s3Location(settings),
    publicUrl: settings.ASSAY_PUBLIC_URL,
    masterKey: settings.ASSAY_MASTER_KEY,
    newMasterKey: settings.ASSAY_NEW_MASTER_KEY,
    adminToken: settings.ASSAY_ADMIN_TOKEN,
    org: settings.ASSAY_ORG,
    enableAdmin: settings.ASSAY_ENABLE_ADMIN !== undefined,
    blobRedirects: blobRedirects(settings),
    sparseManifests: settings.ASSAY_SPARSE_MANIFESTS !== undefined,
    deletedGraceMs: settings.ASSAY_DELETED_GRACE,
    tls: tlsConfig(settings),
    metricsListen: settings.ASSAY_METRICS_LISTEN,
    accessLog: accessLogPlace(settings.ASSAY_ACCESS_LOG),
    collector: collectorOf(settings),
    logLevel: settings.ASSAY_LOG_LEVEL,
    workers: settings.ASSAY_WORKERS,
    witnessPolicy: settings.ASSAY_WITNESS_POLICY === undefined ? undefined : resolve(settings.ASSAY_WITNESS_POLICY),
    witnessLogs: settings.ASSAY_WITNESS_LOGS === undefined ? undefined : resolve(settings.ASSAY_WITNESS_LOGS),
    witnessLateMs: settings.ASSAY_WITNESS_LATE,
    diskFloor: settings.ASSAY_DISK_FLOOR,
    maxBuffered: settings.ASSAY_MAX_BUFFERED,
    maxMemory: settings.ASSAY_MAX_MEMORY,
    maxConnections: settings.ASSAY_MAX_CONNECTIONS,
    drainGraceMs: settings.ASSAY_DRAIN_GRACE,
    scrubRate: settings.ASSAY_SCRUB_RATE,
    oidcIssuers: settings.ASSAY_OIDC_ISSUERS,
    egressPrivate: settings.ASSAY_EGRESS_PRIVATE,
  };
}

function accessLogPlace(text: string | undefined): string | undefined {
  return text === undefined || text === "stdout" ? text : resolve(text);
}

/** Our own variables win over OpenTelemetry's, as a whole: the headers of one are not for the other's collector. */
function collectorOf(settings: Settings): Config["collector"] {
  const { ASSAY_OTLP_ENDPOINT: own, ASSAY_OTLP_HEADERS: headers, ASSAY_TRACE_RATIO: ratio = 1 } = settings;
  if (own !== undefined) return { endpoint: own, headers: headers ?? {}, ratio };
  if (headers !== undefined) throw new ServerError("config-invalid", "ASSAY_OTLP_HEADERS needs ASSAY_OTLP_ENDPOINT");
  const endpoint = settings.OTEL_EXPORTER_OTLP_ENDPOINT;
  return endpoint === undefined ? undefined : { endpoint, headers: settings.OTEL_EXPORTER_OTLP_HEADERS ?? {}, ratio };
}

/** Only what lies in S3 can be had there. */
function blobRedirects(settings: Settings): boolean {
  if (settings.ASSAY_BLOBS_REDIRECT === undefined) return false;
  if (settings.ASSAY_BLOBS_URL !== undefined) return true;
  throw new ServerError("config-invalid", "ASSAY_BLOBS_REDIRECT needs ASSAY_BLOBS_URL", {
    hint: "blobs in the data directory are always sent by the server itself: leave it out",
  });
}

/** Our own variables win over Amazon's, as a whole: a key of one and a secret of the other would never fit. */
function s3Location(settings: Settings): S3Location | undefined {
  const { ASSAY_BLOBS_URL: url, ASSAY_BLOBS_ACCESS_KEY: key, ASSAY_BLOBS_SECRET_KEY: secret } = settings;
  const own = key !== undefined || secret !== undefined || settings.ASSAY_BLOBS_SESSION_TOKEN !== undefined;
  if (url === undefined) {
    if (own) throw new ServerError("config-invalid", "ASSAY_BLOBS_ACCESS_KEY and its like need ASSAY_BLOBS_URL");
    return undefined;
  }
  const accessKeyId = own ? key : settings.AWS_ACCESS_KEY_ID;
  const secretAccessKey = own ? secret : settings.AWS_SECRET_ACCESS_KEY;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new ServerError("config-invalid", "ASSAY_BLOBS_URL is set, but its credentials are not, or not whole", {
      hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ASSAY_BLOBS_ACCESS_KEY and ASSAY_BLOBS_SECRET_KEY",
    });
  }
  const sessionToken = own ? settings.ASSAY_BLOBS_SESSION_TOKEN : settings.AWS_SESSION_TOKEN;
  return { ...url, credentials: { accessKeyId, secretAccessKey, sessionToken } };
}

function tlsConfig(settings: Settings): TlsConfig | undefined {
  const { ASSAY_TLS_CERT: cert, ASSAY_TLS_KEY: key } = settings;
  if (cert !== undefined && key !== undefined) return { kind: "files", cert, key };
  if (cert !== undefined || key !== undefined) {
    throw new ServerError("config-invalid", "ASSAY_TLS_CERT and ASSAY_TLS_KEY go together: one of them is missing");
  }
  return settings.ASSAY_TLS === undefined ? undefined : { kind: "self-signed" };
}

/** The URL clients use when ASSAY_PUBLIC_URL is not set. */
export function defaultPublicUrl(config: Config, port: number): string {
  const host = config.listen.host.includes(":") ? `[${config.listen.host}]` : config.listen.host;
  return `${config.tls === undefined ? "http" : "https"}://${host}:${port}`;
}

function mayRead(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    // Whatever the reason: it is not for this user to read.
    return false;
  }
}

/** Makes the data directory (mode 0700), its name durable. @throws ServerError `data-directory-unusable`. */
export function prepareDataDirectory(path: string): void {
  try {
    const first = mkdirSync(path, { recursive: true, mode: 0o700 });
    // Made here or by a start that was killed before it could sync; a parent that may not be opened holds nothing made by this user.
    const top = dirname(first ?? path);
    for (let current = dirname(path); ; current = dirname(current)) {
      if (first !== undefined || mayRead(current)) syncDirectorySync(current);
      if (current === top) break;
    }
  } catch (cause) {
    throw new ServerError("data-directory-unusable", `cannot make the data directory ${path}`, {
      cause,
      hint: "choose a directory this user can write with ASSAY_DATA",
    });
  }
}

/**
 * The bootstrap admin token: the configured one, else the one kept in `admin-token`, else a new one to be written there.
 *
 * @returns `fresh` when it was made now and must be shown, once.
 */
export function adminToken(config: Config): { token: string; fresh: boolean; path: string } {
  const path = join(config.dataDirectory, "admin-token");
  if (config.adminToken !== undefined) return { token: config.adminToken, fresh: false, path };
  if (existsSync(path)) return { token: readFileSync(path, "utf8").trim(), fresh: false, path };
  return { token: `assay-admin-${randomBytes(32).toString("base64url")}`, fresh: true, path };
}
