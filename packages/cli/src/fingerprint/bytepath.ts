/**
 * A file name or path as the kernel has it: one character per byte (Latin-1). Names need not be UTF-8, and JavaScript's
 * `<` on such strings is byte order, which UTF-16 order is not. Never shown as it is; see `displayPath`.
 */
export type BytePath = string & { readonly bytePath: unique symbol };

/** From text typed by the user. */
export function bytePath(text: string): BytePath {
  return Buffer.from(text, "utf8").toString("latin1") as BytePath;
}

/** Text that is Latin-1 already: what `readdir` gave with encoding "latin1", or a piece of another BytePath. */
export function asBytePath(latin1: string): BytePath {
  return latin1 as BytePath;
}

/** For calls of the file system, which take bytes. */
export function pathBytes(path: BytePath): Buffer {
  return Buffer.from(path, "latin1");
}

/** For people: UTF-8, with U+FFFD in the place of bytes that are not. */
export function displayPath(path: BytePath): string {
  return pathBytes(path).toString("utf8");
}

/** Whether `displayPath` loses nothing. */
export function isUtf8(path: BytePath): boolean {
  return pathBytes(Buffer.from(displayPath(path), "utf8").toString("latin1") as BytePath).equals(pathBytes(path));
}

/** `a` and `b` joined with "/", then cleaned, as Go's filepath.Join does on Unix: "." and ".." are resolved in the text. */
export function joinPath(a: BytePath, b: BytePath): BytePath {
  if (a === "") return b === "" ? b : cleanPath(b);
  return b === "" ? cleanPath(a) : cleanPath(`${a}/${b}` as BytePath);
}

/** The shortest spelling of a path, by text alone: no doubled or trailing slash, no "." or inner "..". Empty gives ".". */
export function cleanPath(path: BytePath): BytePath {
  const rooted = path.startsWith("/");
  const kept: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === ".." && kept.length > 0 && kept[kept.length - 1] !== "..") kept.pop();
    else if (part !== ".." || !rooted) kept.push(part);
  }
  const text = (rooted ? "/" : "") + kept.join("/");
  return (text === "" ? "." : text) as BytePath;
}
