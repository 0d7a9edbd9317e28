/** The access room alone over a real record in a temporary directory, with its doors on an in-process Fastify. */
import Fastify, { type FastifyInstance } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { Authenticator, countBootstrapUses, countDenials } from "../src/access/authenticate.ts";
import { generateApiKey, hashSecret } from "../src/access/api-key.ts";
import { accessPart } from "../src/access/part.ts";
import { MIGRATIONS } from "../src/composition.ts";
import { registerExchangeRoute } from "../src/access/exchange-routes.ts";
import { OutsideIssuers } from "../src/access/outside-issuers.ts";
import { registerAccessRoutes } from "../src/access/routes.ts";
import type { Role } from "../src/access/roles.ts";
import { registerTokenRoutes } from "../src/access/token-routes.ts";
import { ServerError } from "../src/errors.ts";
import { Problem, problemBody } from "../src/http/problem.ts";
import { keysPart } from "../src/record/service-keys.ts";
import type { Keyring } from "../src/keys/keyring.ts";
import { MasterKey } from "../src/keys/master.ts";
import type { Appended } from "../src/record/client.ts";
import { type Actor, type JsonObject, SYSTEM_ACTOR, SYSTEM_ORG } from "../src/record/command.ts";
import { recordPart } from "../src/record/heads.ts";
import { openRecord } from "../src/record/open.ts";
import { RecordParts } from "../src/record/parts.ts";
import type { RecordWriter } from "../src/record/writer.ts";
import type { ReadDatabase } from "../src/storage/database.ts";
import { migrate } from "../src/storage/migrate.ts";
import { openReader, openWriter } from "../src/storage/open.ts";
import { temporaryDirectory } from "./core.ts";
import { placeOf } from "./database.ts";

export const PUBLIC_URL = "https://assay.test:8443";
export const ADMIN_TOKEN = "test-admin-token-0123456789";
export const ADMIN: Actor = { id: "admin", credential: { kind: "admin-token" } };

/** An answer of one of the room's doors. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

export interface AccessRoom {
  readonly writer: RecordWriter;
  readonly reader: ReadDatabase;
  readonly keyring: Keyring;
  readonly authenticator: Authenticator;
  readonly app: FastifyInstance;
  /** The clock of the authenticator, ms; starts at the real time. */
  readonly clock: { now: number };
  /** Appends one command, as the bootstrap admin unless told otherwise. */
  append(type: string, org: string, body: JsonObject, actor?: Actor): Promise<Appended>;
  /** Makes a person or service account (`service:<org>/<name>`), gives the roles and a key; returns the key's text and the actor. */
  principal(
    id: string,
    roles: Readonly<Record<string, Role>>,
    expires?: number | null,
  ): Promise<{ key: string; keyId: string; actor: Actor }>;
  request(method: "GET" | "POST" | "PUT" | "DELETE", url: string, token?: string, body?: unknown): Promise<Answer>;
  stop(): Promise<void>;
}

/** Opens a room whose default organisation is `default`, with `organisations` beside it. */
export async function openAccessRoom(
  organisations: readonly string[] = [],
  /** Issuers on this machine whose tokens are believed. */
  believed: readonly string[] = [],
): Promise<AccessRoom> {
  const directory = await temporaryDirectory();
  const database = openWriter(await placeOf(directory.path));
  await migrate(database, MIGRATIONS);
  const { writer, keyring } = await openRecord({
    database,
    dataDirectory: directory.path,
    master: MasterKey.fromDirectory(directory.path, true),
    parts: new RecordParts([recordPart, keysPart, accessPart]),
    founding: [{ type: "access.bootstrap", org: SYSTEM_ORG, actor: SYSTEM_ACTOR, body: { defaultOrg: "default" } }],
    host: undefined,
  });
  const reader = openReader(await placeOf(directory.path));
  const clock = { now: Date.now() };
  const authenticator = new Authenticator({
    reader,
    record: writer,
    keyring,
    publicUrl: PUBLIC_URL,
    adminToken: ADMIN_TOKEN,
    now: () => clock.now,
  });
  const app = Fastify();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, _request, reply) => {
    if (error instanceof Problem) return reply.code(error.status).headers(error.headers).send(problemBody(error));
    const status = error instanceof ServerError && error.code === "command-invalid" ? 400 : undefined;
    const given = error instanceof Error && "statusCode" in error ? Number(error.statusCode) : 500;
    return reply.code(status ?? given).send({ error: { code: "other", message: String(error) } });
  });
  countDenials(app, authenticator);
  countBootstrapUses(app, authenticator);
  const privatePlaces = new Set(believed.map((issuer) => new URL(issuer).host));
  const issuers = new OutsideIssuers(believed, { privatePlaces }, () => clock.now);
  registerAccessRoutes(app, { reader, record: writer, authenticator, issuers });
  registerExchangeRoute(app, { reader, record: writer, authenticator, issuers });
  registerTokenRoutes(app, { reader, authenticator, defaultOrg: "default" });
  await app.ready();

  const append = (type: string, org: string, body: JsonObject, actor: Actor = ADMIN): Promise<Appended> =>
    writer.append({ type, org, actor, body });
  const must = async (appended: Promise<Appended>): Promise<void> => {
    const outcome = await appended;
    if (!outcome.ok) throw new Error(`${outcome.refusal.code}: ${outcome.refusal.message}`);
  };
  for (const name of organisations) await must(append("access.create-organisation", name, { name }));

  return {
    writer,
    reader,
    keyring,
    authenticator,
    app,
    clock,
    append,
    async principal(id, roles, expires = null) {
      const service = /^service:([^/]+)\/(.+)$/.exec(id);
      if (service === null) {
        await must(append("access.create-person", SYSTEM_ORG, { name: id.slice("person:".length) }));
      } else {
        await must(append("access.create-service-account", service[1] ?? "", { name: service[2] ?? "" }));
      }
      for (const [org, role] of Object.entries(roles)) {
        await must(append("access.grant-role", org, { principal: id, role }));
      }
      const key = generateApiKey();
      const body = { id: key.id, principal: id, label: "test", secretHash: hashSecret(key.secret), expires };
      await must(append("access.create-api-key", SYSTEM_ORG, body));
      return { key: key.text, keyId: key.id, actor: { id, credential: { kind: "api-key", id: key.id } } };
    },
    async request(method, url, token, body) {
      const response = await app.inject({
        method,
        url,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      });
      const parsed: unknown = response.body === "" ? {} : JSON.parse(response.body);
      return {
        status: response.statusCode,
        headers: response.headers,
        body: parsed as Record<string, unknown>,
        text: response.body,
      };
    },
    async stop() {
      await app.close();
      await authenticator.flush();
      await writer.stop();
      await reader.close();
      await database.close();
      await directory.dispose();
    },
  };
}

/** The code a refused append was refused with; undefined when it was accepted. */
export function refusalCode(appended: Appended): string | undefined {
  return appended.ok ? undefined : appended.refusal.code;
}

/** The code in an own-API error. */
export function errorCode(answer: Answer): unknown {
  const { error } = answer.body;
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}
