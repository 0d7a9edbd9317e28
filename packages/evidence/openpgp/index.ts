/**
 * OpenPGP signatures: the implementation of evidence's port, and readers of the files that carry such signatures. A separate entry point,
 * because it brings a library. Portable: no Node API.
 */
import type { OpenPgpPort } from "../src/index.ts";
import { certificateOf } from "./certificate-cache.ts";
import { verify } from "./verify.ts";

export { type GitObject, readGitObject } from "./formats/git.ts";
export { readRpm, type RpmSignature, verifyRpm } from "./formats/rpm.ts";

const names = new TextDecoder("utf-8");

/** OpenPGP as RFC 9580 and RFC 4880 define it, by the rules of docs/evidence-forms.md. */
export const openPgp: OpenPgpPort = {
  readCertificate(armored) {
    const { primary, users, subkeys } = certificateOf(armored);
    return {
      fingerprint: primary.fingerprint,
      fingerprints: [primary.fingerprint, ...subkeys.map(({ key }) => key.fingerprint)],
      userIds: users.filter(({ attribute }) => !attribute).map(({ id }) => names.decode(id)),
    };
  },
  verify,
};
