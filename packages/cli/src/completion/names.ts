import { PREFERENCE_NAMES } from "../preferences.ts";
import type { Session } from "../session.ts";
import { VERBS } from "../verbs.ts";
import type { Names } from "./complete.ts";

/** How long a server may take before a key press goes unanswered, ms. */
const PATIENCE_MS = 700;
const MAX_NAMES = 200;

/** Looks names up. A completion never fails and never waits long: what cannot be found out in time is left out. */
export async function namesOf(session: Session, what: Names): Promise<readonly string[]> {
  switch (what) {
    case "setting":
      return PREFERENCE_NAMES;
    case "verb":
      return VERBS.map(({ name }) => name);
    case "profile":
      return [...(await session.config()).profiles.keys()];
    case "server": {
      const { servers, profiles } = await session.config();
      const inProfiles = [...profiles.values()].map(({ settings }) => settings.server);
      return distinct([...servers.keys(), ...inProfiles]);
    }
    case "organisation": {
      const { servers, profiles, settings } = await session.config();
      const kept = [settings.org, ...[...servers.values(), ...profiles.values()].map(orgOf)];
      return distinct([...kept, ...(await inTime(() => serverNames(session, "orgs")))]);
    }
    case "policy":
      return inTime(() => serverNames(session, "policies"));
  }
}

type HasOrg = { readonly org?: string | undefined; readonly settings?: { readonly org?: string | undefined } };

function orgOf({ org, settings }: HasOrg): string | undefined {
  return org ?? settings?.org;
}

async function serverNames(session: Session, what: "orgs" | "policies"): Promise<string[]> {
  const [{ serverClient }, { API, askObject }, { requireOrg }] = await Promise.all([
    import("../http.ts"),
    import("../organisation.ts"),
    import("../settings.ts"),
  ]);
  const client = await serverClient(session);
  const org = what === "orgs" ? "" : `/orgs/${encodeURIComponent(requireOrg(await session.settings()))}`;
  const answer = await askObject(client, {
    method: "GET",
    path: `${API}${org}/${what}`,
    query: { limit: String(MAX_NAMES) },
  });
  return answer.objects("items").map((item) => item.text("name"));
}

/** What `ask` answers, or nothing if it fails or takes too long: at a key press there is nobody to tell. */
async function inTime(ask: () => Promise<readonly string[]>): Promise<readonly string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly string[]>((resolve) => {
    timer = setTimeout(() => resolve([]), PATIENCE_MS);
  });
  try {
    return await Promise.race([ask().catch(() => []), late]);
  } finally {
    clearTimeout(timer);
  }
}

function distinct(names: readonly (string | undefined)[]): string[] {
  return [...new Set(names.filter((name) => name !== undefined))];
}
