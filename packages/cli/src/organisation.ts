import { AnswerObject, answerInvalid } from "./answer.ts";
import { CliError, Exit } from "./errors.ts";
import { type ApiRequest, type ServerClient, serverClient } from "./http.ts";
import type { Session } from "./session.ts";
import { requireOrg } from "./settings.ts";

/** Under what the server's own API lies. */
export const API = "/api/assay/v1";

const PAGE = 200;
/** The most that is read of one list; more is an error, so that nobody takes a part for the whole. */
const MAX_ITEMS = 20_000;

/** The server's own API, asked in the name of one organisation. */
export type OrganisationClient = {
  readonly client: ServerClient;
  readonly org: string;
  /** `/api/assay/v1/orgs/<org>/…`, each part encoded. */
  readonly path: (...parts: string[]) => string;
};

/** Errors: `server-missing`, `org-missing` (both usage). */
export async function organisationClient(session: Session): Promise<OrganisationClient> {
  const client = await serverClient(session);
  const org = requireOrg(await session.settings());
  return { client, org, path: (...parts) => `${API}/orgs/${[org, ...parts].map(encodeURIComponent).join("/")}` };
}

/** Sends a request and reads the answer as an object. Errors: those of `ServerClient.json`, `answer-invalid`. */
export async function askObject(client: ServerClient, request: ApiRequest): Promise<AnswerObject> {
  return new AnswerObject(await client.json(request), "the answer");
}

/** A whole list, page after page; `first` is the first page, for what stands beside the items. */
export async function askList(
  client: ServerClient,
  path: string,
  query: Readonly<Record<string, string | undefined>> = {},
): Promise<{ first: AnswerObject; items: AnswerObject[] }> {
  let first: AnswerObject | undefined;
  const items: AnswerObject[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await askObject(client, { method: "GET", path, query: { ...query, limit: String(PAGE), cursor } });
    first ??= page;
    const found = page.objects("items");
    items.push(...found);
    const next = page.textOrNull("next");
    if (next === null) return { first, items };
    if (found.length === 0 || next === cursor) throw answerInvalid("a list that does not go on");
    if (items.length >= MAX_ITEMS) {
      throw new CliError("list-too-long", `the list has more than ${MAX_ITEMS} items`, {
        exit: Exit.unknown,
        hint: "Narrow the question, or page through the API.",
      });
    }
    cursor = next;
  }
}

/**
 * For verbs whose exit code 1 is an answer (`verify`, `decide`): a server that refuses to answer, or does not know what is
 * asked about, has not said "no". Such errors become exit 3; wrong usage stays wrong usage.
 */
export async function findOut<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof CliError) || error.exit !== Exit.no) throw error;
    throw new CliError(error.code, error.message, { exit: Exit.unknown, hint: error.hint, cause: error });
  }
}
