import type { Command } from "commander";
import type { Session } from "./session.ts";

/** What a verb's module exports: it adds its arguments, options and action (or its own sub-verbs) to `command`. */
export type VerbModule = { define(command: Command, session: Session): void };

/** One line of `assay --help`. The module is loaded only when the verb is used. */
export type Verb = { readonly name: string; readonly summary: string; readonly load: () => Promise<VerbModule> };

/** Every verb, in the order help shows them: one path from bytes to evidence. */
export const VERBS: readonly Verb[] = [
  { name: "login", summary: "keep a server's address and token for this user", load: () => import("./verbs/login.ts") },
  { name: "logout", summary: "forget a server's token", load: () => import("./verbs/logout.ts") },
  {
    name: "profile",
    summary: "settings and logins under a name: staging, production, another person",
    load: () => import("./verbs/profile.ts"),
  },
  {
    name: "config",
    summary: "show and change what the configuration file says",
    load: () => import("./verbs/config.ts"),
  },
  {
    name: "fingerprint",
    summary: "compute the SHA-256 fingerprint of a file, a directory or an image",
    load: () => import("./verbs/fingerprint.ts"),
  },
  { name: "push", summary: "store files in a registry as one artifact", load: () => import("./verbs/push.ts") },
  { name: "pull", summary: "fetch the files of an artifact and verify them", load: () => import("./verbs/pull.ts") },
  { name: "key", summary: "make signing keys, show those that are there", load: () => import("./verbs/key.ts") },
  { name: "sign", summary: "sign a file or an image with a key", load: () => import("./verbs/sign.ts") },
  { name: "attest", summary: "make a signed statement about an artifact", load: () => import("./verbs/attest.ts") },
  {
    name: "evidence",
    summary: "list, find, show, add, import, export and check evidence",
    load: () => import("./verbs/evidence.ts"),
  },
  { name: "artifact", summary: "an artifact's whole story", load: () => import("./verbs/artifact.ts") },
  { name: "trust", summary: "say whom the organisation believes about what", load: () => import("./verbs/trust.ts") },
  {
    name: "verify",
    summary: "is this really said, by whom, when? by the server, or offline from files",
    load: () => import("./verbs/verify.ts"),
  },
  { name: "policy", summary: "check, store and show policies", load: () => import("./verbs/policy.ts") },
  { name: "decide", summary: "may this artifact be used? with every reason", load: () => import("./verbs/decide.ts") },
  {
    name: "gate",
    summary: "let repositories serve only what a policy allows",
    load: () => import("./verbs/gate.ts"),
  },
  {
    name: "record",
    summary: "show and prove what was recorded, and that it was not rewritten",
    load: () => import("./verbs/record.ts"),
  },
  { name: "org", summary: "make and list organisations", load: () => import("./verbs/org.ts") },
  {
    name: "account",
    summary: "people, service accounts, their roles and API keys: make them, take them back",
    load: () => import("./verbs/account.ts"),
  },
  {
    name: "promote",
    summary: "copy an artifact to another repository by its digest, with its evidence, where policy allows it",
    load: () => import("./verbs/promote.ts"),
  },
  {
    name: "repository",
    summary: "repositories: who may read them, which tags never move, what was deleted and comes back",
    load: () => import("./verbs/repository.ts"),
  },
  {
    name: "retention",
    summary: "what goes from a repository by itself: rules, what they would do, and a run now",
    load: () => import("./verbs/retention.ts"),
  },
  {
    name: "quota",
    summary: "how much an organisation and its repositories may hold, and how much they do",
    load: () => import("./verbs/quota.ts"),
  },
  {
    name: "webhook",
    summary: "tell other programs what is recorded: CloudEvents or CDEvents, signed, in order",
    load: () => import("./verbs/webhook.ts"),
  },
  {
    name: "mirror",
    summary: "repositories that get what they do not have from another registry, verified",
    load: () => import("./verbs/mirror.ts"),
  },
  {
    name: "replication",
    summary: "copy to another registry, or from the upstreams of mirrors, as things are pushed or by time",
    load: () => import("./verbs/replication.ts"),
  },
  {
    name: "jobs",
    summary: "the service's background work: what waits, runs and failed; retry it or give it up",
    load: () => import("./verbs/jobs.ts"),
  },
  { name: "server", summary: "start, check or rebuild the service itself", load: () => import("./verbs/server.ts") },
  {
    name: "completion",
    summary: "completion for bash, zsh and fish",
    load: () => import("./verbs/completion.ts"),
  },
  { name: "man", summary: "show or write the manual pages", load: () => import("./verbs/man.ts") },
  {
    name: "credential-helper",
    summary: "give this program's logins to docker, crane, oras and their like",
    load: () => import("./verbs/credential-helper.ts"),
  },
];
