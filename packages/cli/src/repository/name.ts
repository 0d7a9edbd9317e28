/** A repository's name below its organisation: `app` and `org/app` are one. */
export function below(org: string, text: string): string {
  return text.startsWith(`${org}/`) ? text.slice(org.length + 1) : text;
}
