/** Completion in the real shells: what a person types, a tab, and what then stands on the line. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "./clients.ts";
import { type Home, makeHome } from "./harness.ts";

const bin = fileURLToPath(new URL("../bin", import.meta.url));
/** Where shells lie if they were unpacked rather than installed: their modules and functions are then not where they look. */
const unpacked = (shell: string): string =>
  fileURLToPath(new URL(`../.cache/interop/modules/${shell}/root`, import.meta.url));

/** What is typed before the tab, and what the line is after it. */
const LINES: readonly (readonly [typed: string, completed: string])[] = [
  ["assay evid", "assay evidence"],
  ["assay key gen", "assay key generate"],
  ["assay account role ta", "assay account role take"],
  ["assay verify --expl", "assay verify --explain"],
  ["assay --output js", "assay --output json"],
  ["assay --output=js", "assay --output=json"],
  ["assay fingerprint -t di", "assay fingerprint -t dir"],
  ["assay --profile sta", "assay --profile staging"],
  ["assay login http://127", "assay login http://127.0.0.1:8400"],
  ["assay verify hell", "assay verify hello.txt"],
  ["assay verify x --trust=hell", "assay verify x --trust=hello.txt"],
  ["assay pull x --into si", "assay pull x --into site/"],
  ["assay org create si", "assay org create si"],
];

const ZSH_PLACES = `if [[ -d ${unpacked("zsh")} ]]; then
  module_path=(${unpacked("zsh")}/usr/lib/*/zsh/*(/N))
  fpath=(${unpacked("zsh")}/usr/share/zsh/functions/**/*(/N))
fi
`;

const FISH_PLACES = `test -d ${unpacked("fish")}; and set -p fish_function_path ${unpacked("fish")}/usr/share/fish/functions; `;

/** Types lines into an interactive shell in a pseudoterminal, each with a tab behind it, then the keys that write the line down. */
const DRIVER = `${ZSH_PLACES}zmodload zsh/zpty || exit 9
out=$1 lines=$2 setup=$3; shift 3
zpty -b shell "$@"
drain() { while zpty -r -t shell output 2>/dev/null; do transcript+=$output; done }
waitfor() { # until a file has that many lines
  integer tries=0
  while (( $(cat $1 2>/dev/null | wc -l) < $2 )); do
    drain; sleep 0.05
    (( ++tries > 400 )) && { print -r -- "$transcript" >&2; exit 8 }
  done
}
zpty -w shell ". $setup; echo > $out.ready"
waitfor $out.ready 1
integer count=0
while IFS= read -r line; do
  (( ++count ))
  sleep 0.1; drain
  zpty -n -w shell "$line"$'\\t'
  sleep 0.1
  zpty -n -w shell $'\\C-x\\C-x'
  waitfor $out $count
done < $lines
zpty -d shell
`;

let home: Home;
let env: Record<string, string>;

beforeAll(async () => {
  home = makeHome();
  env = { PATH: `${bin}:${process.env["PATH"] ?? ""}`, TERM: "xterm", LANG: "C.UTF-8" };
  mkdirSync(home.path("work"));
  mkdirSync(home.path("work", "site"));
  writeFileSync(home.path("work", "hello.txt"), "hello\n");
  writeFileSync(home.path("lines"), LINES.map(([typed]) => `${typed}\n`).join(""));
  writeFileSync(home.path("driver.zsh"), DRIVER);
  await home.must(join(bin, "assay"), ["profile", "add", "staging", "--server", "http://127.0.0.1:8400"], { env });
});

afterAll(() => home.remove());

/** The lines as they are after the tab, without the blank that shells put behind a whole word. */
async function typed(setup: string, shell: readonly string[]): Promise<string[]> {
  const out = home.path("completed");
  for (const file of [out, `${out}.ready`]) rmSync(file, { force: true });
  writeFileSync(home.path("setup"), `cd ${home.path("work")}\n${setup.replaceAll("OUT", out)}`);
  const words = ["-f", home.path("driver.zsh"), out, home.path("lines"), home.path("setup"), ...shell];
  const ran = await home.run("zsh", words, { env, cwd: home.path("work") });
  expect(ran.code, ran.stderr).toBe(0);
  return readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.trimEnd());
}

describe("completion", () => {
  it("works at the tab key of bash", async () => {
    const setup = `source <(assay completion bash)
capture() { printf '%s\\n' "$READLINE_LINE" >> OUT; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\\C-x\\C-x": capture'
`;
    expect(await typed(setup, ["bash", "--norc", "--noprofile", "-i"])).toEqual(LINES.map(([, line]) => line));
  });

  it("works at the tab key of zsh", async () => {
    const setup = `${ZSH_PLACES}autoload -U compinit && compinit -u -D
source <(assay completion zsh)
capture() { print -r -- "$BUFFER" >> OUT; BUFFER= }
zle -N capture; bindkey '^X^X' capture
`;
    expect(await typed(setup, [clientProgram("zsh"), "-f", "-i"])).toEqual(LINES.map(([, line]) => line));
  });

  it.each(LINES)("works in fish: %s", async (line, completed) => {
    const script = `${FISH_PLACES}assay completion fish | source; complete -C ${JSON.stringify(line)}`;
    const said = await home.must("fish", ["--no-config", "-c", script], { env, cwd: home.path("work") });
    const candidates = said
      .split("\n")
      .filter((found) => found !== "")
      .map((found) => found.split("\t")[0]);
    const last = completed.split(" ").at(-1) ?? "";
    // Nothing is offered where nothing can be known.
    expect(candidates).toEqual(line === completed ? [] : [last]);
  });

  it("describes in fish and zsh what it offers", async () => {
    const script = 'assay completion fish | source; complete -C "assay verif"';
    expect(await home.must("fish", ["--no-config", "-c", script], { env })).toMatch(/^verify\tis this really said/);
  });

  it("is silent in every shell when the program fails", async () => {
    mkdirSync(home.path("broken"));
    writeFileSync(home.path("broken", "assay"), "#!/bin/sh\necho oops >&2\nexit 1\n", { mode: 0o755 });
    await home
      .must(join(bin, "assay"), ["completion", "fish"], { env })
      .then((text) => writeFileSync(home.path("c.fish"), text));
    const script = `source ${home.path("c.fish")}; complete -C "assay ver"`;
    const broken = { ...env, PATH: `${home.path("broken")}:${env["PATH"]}` };
    const ran = await home.run("fish", ["--no-config", "-c", script], { env: broken, cwd: home.path("work") });
    expect(ran).toMatchObject({ stdout: "", stderr: "" });
  });
});

describe("the manual pages", () => {
  beforeAll(async () => {
    await home.must(join(bin, "assay"), ["man", "--into", home.path("man", "man1")], { env });
  });

  it("hold no error and nothing doubtful by mandoc's judgement, but that they have no date", async () => {
    const pages = readdirSync(home.path("man", "man1")).map((name) => home.path("man", "man1", name));
    expect(pages.length).toBeGreaterThan(20);
    const said = await home.run("mandoc", ["-T", "lint", "-W", "warning", ...pages], { env });
    // A date would make other pages of the same program every day.
    const doubts = `${said.stdout}${said.stderr}`
      .split("\n")
      .filter((line) => line !== "" && !line.includes("missing date"));
    expect(doubts).toEqual([]);
  });

  it("are shown by mandoc as they are meant", async () => {
    const shown = await home.must("mandoc", ["-T", "ascii", home.path("man", "man1", "assay-verify.1")], { env });
    const plain = shown.replaceAll(/.\u0008/g, "");
    expect(plain).toMatch(/^NAME\n +assay-verify - /m);
    expect(plain).toContain("assay verify hello.txt --offline --bundle hello.txt.sigstore.json");
  });

  it.runIf(existsSync("/usr/bin/man"))("give groff and man-db nothing to warn of", async () => {
    const page = home.path("man", "man1", "assay-server.1");
    const said = await home.run("/usr/bin/man", ["--warnings=w", "-l", page], {
      env: { ...env, MANPAGER: "cat", MANWIDTH: "80" },
    });
    expect(said).toMatchObject({ code: 0, stderr: "" });
  });
});
