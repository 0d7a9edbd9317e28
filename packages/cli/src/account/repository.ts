/** Repositories of an organisation as the server wants them, by whole names: `app` is `org/app`. */
export function repositoryPattern(org: string, text: string): string {
  return text.startsWith(`${org}/`) ? text : `${org}/${text}`;
}
