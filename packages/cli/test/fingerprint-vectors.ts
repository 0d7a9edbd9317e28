import type { TreeSpec } from "./tree.ts";

/**
 * Directories with the fingerprint that the Kosli CLI 2.43.1 gives them. `root` is how the path is written on the
 * command line, from the directory above the tree `t`; `inside` runs it in the tree itself.
 */
export type FingerprintVector = {
  readonly name: string;
  readonly tree: TreeSpec;
  readonly excludes?: readonly string[];
  readonly root?: string;
  readonly inside?: true;
  readonly folder?: string;
  readonly fingerprint: string;
};

const LOGS: TreeSpec = {
  "a/b/x.log": "1",
  "a/x.log": "2",
  "a/keep": "3",
  "x.log": "4",
  "y.txt": "5",
  "z/x.log/inner": "6",
};
const ODD: TreeSpec = { "a*": "1", aa: "2", "q[1]": "3", q1: "4", "z\\z": "5", "#h": "6", "a b": "7", ".h": "8" };
const UNICODE: TreeSpec = { é: "1", "\u{1F600}": "2", "\uffee": "3", "日本/x": "4", Z: "5", a: "6", "e\u0301": "7" };

export const VECTORS: readonly FingerprintVector[] = [
  {
    name: "an empty directory",
    tree: {},
    fingerprint: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  },
  {
    name: "one file",
    tree: { f: "content" },
    fingerprint: "c64715a5ad1148d6c9c3be9b25be5bfdb2e50490157066653459a44f6779b063",
  },
  {
    name: "an empty file",
    tree: { f: "" },
    fingerprint: "d3ed9ad6309ff0fd04f271fc55e52678f496640aa7fea1a3bf141c4aea1017a4",
  },
  {
    name: "nested and empty directories",
    tree: { "a/b/c": null, "a/d": "1", e: null },
    fingerprint: "9b9c03ac3b1f9864cdf2acf4736e2ffdbc73bdd033e91fa1959fe8f732c083cc",
  },
  {
    name: "a file beside an empty directory",
    tree: { a: null, f: "1" },
    fingerprint: "6207d4f58557a456f88db0b3d1098764e40b230e95af01fc766d3aa4807304d2",
  },
  {
    name: "the same file in the directory (Kosli does not tell them apart)",
    tree: { "a/f": "1" },
    fingerprint: "6207d4f58557a456f88db0b3d1098764e40b230e95af01fc766d3aa4807304d2",
  },
  {
    name: "names whose byte order differs from their UTF-16 order",
    tree: UNICODE,
    fingerprint: "f7b8ed457d8f92483938c0f1f83fd22f1e6bedc921a0f7f6c853e6169c2d5711",
  },
  {
    name: "directories sorted by name, not by path",
    tree: { "a/z": "1", "a-b": "2", "a.b": "3", a0: "4" },
    fingerprint: "2f3e6eb0eb5cff5ef4f838132dc8d7f7069016de11c129701efa95480fe34c5b",
  },
  {
    name: "the executable bit plays no part",
    tree: { f: { executable: "content" } },
    fingerprint: "c64715a5ad1148d6c9c3be9b25be5bfdb2e50490157066653459a44f6779b063",
  },
  {
    name: "a link to a file counts as its content",
    tree: { f: "content", l: { link: "f" } },
    fingerprint: "220bacb3c04cde4155174a9a8fd187c51800bf991297c418a20c7bbfc68724d0",
  },
  {
    name: "a link to a directory counts as its text",
    tree: { "d/f": "1", l: { link: "d" } },
    fingerprint: "edf2802c724d356939151e9a13aff4e5b5c25d03a37a59da23f874eee3372d08",
  },
  {
    name: "a link to a directory with a trailing slash in its text",
    tree: { "d/f": "1", l: { link: "./d/" } },
    fingerprint: "2bb56329cf3f7041c75f9c52289c4c29c87c5e3082abd93c9e7df204f120d875",
  },
  {
    name: "a link to a link to a file",
    tree: { f: "1", l: { link: "m" }, m: { link: "f" } },
    fingerprint: "e3a13e143e5d7437ad717f47bb32661d4e9404054da6a9636299b8ad4fa68fde",
  },
  {
    name: "a literal exclusion",
    tree: LOGS,
    excludes: ["x.log"],
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "an excluded directory",
    tree: LOGS,
    excludes: ["a"],
    fingerprint: "62111f6aa61f9e0c3d58534ee7f8132e1557880e699941049070cbdf9255c59d",
  },
  {
    name: "an excluded directory with a trailing slash",
    tree: LOGS,
    excludes: ["a/"],
    fingerprint: "62111f6aa61f9e0c3d58534ee7f8132e1557880e699941049070cbdf9255c59d",
  },
  {
    name: "a star",
    tree: LOGS,
    excludes: ["*.log"],
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "a star does not cross a slash",
    tree: LOGS,
    excludes: ["a/*.log"],
    fingerprint: "57ffebdba4fd50fc82cd3c5229547cc584501b92255496311f6009b95ef3ec24",
  },
  {
    name: "two stars and a pattern reach every level",
    tree: LOGS,
    excludes: ["**/*.log"],
    fingerprint: "59ced96a5fa0ce58e68e57c5a6a3f4c5d1cfec2e97b39e2843898670f247d222",
  },
  {
    name: "two stars and a literal name do not reach the root",
    tree: LOGS,
    excludes: ["**/x.log"],
    fingerprint: "7f932727573e6aec8806c9e8e5fefa5d6dbb83edb628c201d29050b5924384cf",
  },
  {
    name: "two stars in the middle",
    tree: LOGS,
    excludes: ["a/**/x.log"],
    fingerprint: "0669a7432be3d6316e5c5c8eeecb26a789b7efef935f4547f85b5d8ead4a4231",
  },
  {
    name: "two stars at the end",
    tree: LOGS,
    excludes: ["a/**"],
    fingerprint: "7db8100f10c1dedd84be9a6fe7a35ce60c6b3108411cab176b941e4ee0e5731e",
  },
  {
    name: "two stars beside letters",
    tree: LOGS,
    excludes: ["a**.log"],
    fingerprint: "1cfe85703af01d437990ecc840393b7d4586d36a8b2af2fb61cbc91a0fd5f591",
  },
  {
    name: "everything",
    tree: LOGS,
    excludes: ["*"],
    fingerprint: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  },
  {
    name: "several exclusions in one argument",
    tree: LOGS,
    excludes: ["x.log,y.txt", '"z"'],
    fingerprint: "98a4e596db99bcd6d43d95ee3a3a4835b244575cd247a873900802e4f87fa385",
  },
  {
    name: "dots in an exclusion",
    tree: LOGS,
    excludes: ["./a/../x.log", "."],
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "an exclusion that points outside",
    tree: LOGS,
    excludes: ["../t/x.log", "../other"],
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "a class of characters",
    tree: LOGS,
    excludes: ["[x-z]*"],
    fingerprint: "98a4e596db99bcd6d43d95ee3a3a4835b244575cd247a873900802e4f87fa385",
  },
  {
    name: "a negated class",
    tree: LOGS,
    excludes: ["[^a]*"],
    fingerprint: "98a4e596db99bcd6d43d95ee3a3a4835b244575cd247a873900802e4f87fa385",
  },
  {
    name: "a question mark takes a character, not a byte",
    tree: UNICODE,
    excludes: ["?"],
    fingerprint: "847c28b41ea0b8c30d8747acdc7d528cafb14609d418e2b5230e679844df972c",
  },
  {
    name: "a class over characters beyond ASCII",
    tree: UNICODE,
    excludes: ["[à-ü]", "[日-本]*"],
    fingerprint: "020534efcaca36d30661ae233e74dcb83a6ef903b86808ce48cf1ef16e66f61b",
  },
  {
    name: "escaped pattern characters",
    tree: ODD,
    excludes: ["a\\*", "q\\[1\\]", "z\\\\z"],
    fingerprint: "3cdcc0b43822207c40f6107ef3a8a886fb584303d772a011c0bd4d4e4ada96a1",
  },
  {
    name: "unescaped pattern characters",
    tree: ODD,
    excludes: ["a*", "q[1]"],
    fingerprint: "923f4e52597115894d7c58d98a455e5bf832302d8a150e0673d1ef20d9099b10",
  },
  {
    name: "a star matches hidden names",
    tree: ODD,
    excludes: ["*h"],
    fingerprint: "55ceafd52cc391dfdd7746196c1908e6a291666a9bd434f022d4c9f8939b4f2b",
  },
  {
    name: "an ignore file",
    tree: { ...LOGS, ".kosli_ignore": "# logs\n*.log\n\n  a/b  # and b\r\n" },
    fingerprint: "de60204adb357dcee57bdd6cc0c7ee7d8cf8296ff15508a90108048ef7cdccac",
  },
  {
    name: "an ignore file with unusual blanks",
    tree: { ...LOGS, ".kosli_ignore": "\u00a0x.log\u2003\n\ty.txt" },
    fingerprint: "d032ae2f658eacc2a6a5f6fdef7c4d173d09ab466f523b475415f52fe52e21ee",
  },
  {
    name: "an ignore file cannot exclude itself",
    tree: { ...LOGS, ".kosli_ignore": ".kosli_ignore\n*\n" },
    fingerprint: "e70ae5441a3a24f4195bfbed3985543987a2b15c3bd00dae24ff297650ae5ae3",
  },
  {
    name: "a flag can exclude the ignore file",
    tree: { ...LOGS, ".kosli_ignore": "*.log" },
    excludes: [".kosli_ignore"],
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "an ignore file further down is a file like any other",
    tree: { "a/.kosli_ignore": "*", "a/f": "1" },
    fingerprint: "a83724f77b0fae18ae9dd8f5acd21b4deeab6a7f2f305afa4dacf8cbc84b71a9",
  },
  {
    name: "a directory named as the ignore file",
    tree: { ".kosli_ignore/f": "1", g: "2" },
    fingerprint: "2b2bdffe19bbf6fe218af8662f345fd2a15a84c66fb6e6123af2f27298dc13ba",
  },
  {
    name: "an excluded broken link",
    tree: { f: "1", l: { link: "nowhere" } },
    excludes: ["l"],
    fingerprint: "3494633117893c58cb8588dce90324f6723beef70ac610f538d7330ebb8a966b",
  },
  {
    name: "a root with a trailing slash",
    tree: LOGS,
    excludes: ["**/*.log"],
    root: "t/",
    fingerprint: "59ced96a5fa0ce58e68e57c5a6a3f4c5d1cfec2e97b39e2843898670f247d222",
  },
  {
    name: "a root with dots",
    tree: LOGS,
    excludes: ["**/*.log"],
    root: "./t/../t",
    fingerprint: "59ced96a5fa0ce58e68e57c5a6a3f4c5d1cfec2e97b39e2843898670f247d222",
  },
  {
    name: "the current directory",
    tree: LOGS,
    excludes: ["*.log"],
    root: ".",
    inside: true,
    fingerprint: "77ad814df796f41d537c248ea83ad6770de90ea2179d74b88459e4da593ffc83",
  },
  {
    name: "two stars first select nothing in the current directory",
    tree: LOGS,
    excludes: ["**/*.log"],
    root: ".",
    inside: true,
    fingerprint: "1cfe85703af01d437990ecc840393b7d4586d36a8b2af2fb61cbc91a0fd5f591",
  },
  {
    name: "a root whose name is a pattern",
    tree: LOGS,
    excludes: ["x.log"],
    folder: "t[1]",
    root: "t[1]",
    fingerprint: "1cfe85703af01d437990ecc840393b7d4586d36a8b2af2fb61cbc91a0fd5f591",
  },
];
