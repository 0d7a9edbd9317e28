/** OpenSSL's opinion on the same chains: it agrees, or the difference is on the list with its reason. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nodeCrypto } from "../node/index.ts";
import {
  type Certificate,
  EvidenceError,
  parseCertificate,
  parseCertificatePem,
  verifyChain,
  x509Root,
} from "../src/index.ts";
import { damages } from "./der-damage.ts";
import { keyOf } from "./virtual.ts";
import {
  alternativeNames,
  authorityOf,
  basicConstraints,
  CA_USAGE,
  CODE_SIGNING,
  codeSigningChain,
  DAY,
  extendedKeyUsage,
  extension,
  general,
  type Holder,
  keyUsage,
  nameConstraints,
  nameOf,
  NOW,
  octets,
  parsed,
  pemOf,
  resigned,
  SIGNING_USAGE,
  sequence,
  TIMESTAMPING,
} from "./virtual-ca.ts";

const OPENSSL = spawnSync("openssl", ["version"]).status === 0;
if (!OPENSSL) console.warn("openssl is not installed: nothing here was compared with it.");

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "assay-x509-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Purpose = "any" | "timestamping";
let files = 0;

function fileOf(...certificates: Uint8Array[]): string {
  const path = join(directory, `${files++}.pem`);
  writeFileSync(path, certificates.map(pemOf).join(""));
  return path;
}

/** Which of the leaves OpenSSL takes. */
function openssl(leaves: Uint8Array[], intermediate: Uint8Array, root: Uint8Array, purpose: Purpose): boolean[] {
  const paths = leaves.map((leaf) => fileOf(leaf));
  const given = ["-CAfile", fileOf(root), "-untrusted", fileOf(intermediate)];
  const terms = ["-attime", String(NOW / 1_000), "-no-CApath", "-no-CAstore", "-auth_level", "2"];
  // "any" is OpenSSL's default without the flag: usages are then not asked for.
  const asked = purpose === "timestamping" ? ["-purpose", "timestampsign"] : [];
  const result = spawnSync("openssl", ["verify", ...terms, ...given, ...asked, ...paths], { encoding: "utf8" });
  return paths.map((path) => result.stdout.split("\n").includes(`${path}: OK`));
}

async function ours(leaf: Uint8Array, intermediate: Uint8Array, root: Holder, purpose: Purpose): Promise<boolean> {
  const read = (der: Uint8Array): Certificate | undefined => {
    try {
      return parseCertificate(der);
    } catch (error) {
      if (!(error instanceof EvidenceError)) throw error;
      return undefined;
    }
  };
  const certificate = read(leaf);
  const below = read(intermediate);
  if (certificate === undefined) return false;
  const intermediates = below === undefined ? [] : [below];
  const authorities = [authorityOf(root)];
  return (await verifyChain(nodeCrypto, { leaf: certificate, intermediates, authorities, time: NOW, purpose })).ok;
}

const CHAIN = [basicConstraints(true, 0), CA_USAGE];
const unknown = extension("1.2.3.4", octets(), true);
const names = (...permitted: Uint8Array[]): Uint8Array[] => [...CHAIN, nameConstraints(permitted)];
const barred = (...excluded: Uint8Array[]): Uint8Array[] => [...CHAIN, nameConstraints([], excluded)];
const named = (...general: Uint8Array[]): Uint8Array[] => [SIGNING_USAGE, alternativeNames(...general)];
const stamping = extendedKeyUsage([TIMESTAMPING], true);

type Case = {
  name: string;
  changes?: Parameters<typeof codeSigningChain>[0];
  purpose?: Purpose;
  accepted: boolean;
  /** Set where OpenSSL answers otherwise, with the reason. */
  differs?: string;
};

const expired = { notBefore: NOW - 100 * DAY, notAfter: NOW - DAY };
const rsa = keyOf("chain", "rsa-pkcs1-sha256");

const cases: Case[] = [
  { name: "a good chain", accepted: true },
  {
    name: "P-384 with SHA-256",
    changes: { root: { key: keyOf("chain", "ecdsa-p384-sha384") }, intermediate: { signing: "sha256" } },
    accepted: true,
  },
  {
    name: "P-521 with SHA-256",
    changes: { root: { key: keyOf("chain", "ecdsa-p521-sha512") }, intermediate: { signing: "sha256" } },
    accepted: true,
  },
  { name: "P-256 with SHA-512", changes: { leaf: { signing: "sha512" } }, accepted: true },
  {
    name: "RSA with SHA-384",
    changes: { root: { key: rsa, signing: "sha384" }, intermediate: { signing: "sha384" } },
    accepted: true,
  },
  {
    name: "RSA-PSS with SHA-256",
    changes: { root: { key: rsa, signing: "pss-sha256" }, intermediate: { signing: "pss-sha256" } },
    accepted: true,
  },
  { name: "Ed25519", changes: { root: { key: keyOf("chain", "ed25519") } }, accepted: true },
  { name: "an expired leaf", changes: { leaf: expired }, accepted: false },
  { name: "an expired intermediate", changes: { intermediate: expired }, accepted: false },
  { name: "an expired root", changes: { root: expired }, accepted: false },
  { name: "an intermediate of tomorrow", changes: { intermediate: { notBefore: NOW + DAY } }, accepted: false },
  {
    name: "an intermediate that is no authority",
    changes: { intermediate: { extensions: [CA_USAGE] } },
    accepted: false,
  },
  {
    name: "an intermediate that may not issue",
    changes: { intermediate: { extensions: [basicConstraints(true, 0), keyUsage(0)] } },
    accepted: false,
  },
  {
    name: "a root that allows none below it",
    changes: { root: { extensions: [basicConstraints(true, 0), CA_USAGE] } },
    accepted: false,
  },
  {
    name: "an unknown critical extension of the leaf",
    changes: { leaf: { extensions: [SIGNING_USAGE, unknown] } },
    accepted: false,
  },
  { name: "one of the intermediate", changes: { intermediate: { extensions: [...CHAIN, unknown] } }, accepted: false },
  {
    name: "another issuer's name in the leaf",
    changes: { leaf: { alter: (f) => f.with(3, nameOf(["CN=Other"])) } },
    accepted: false,
  },
  {
    name: "a leaf signed by the root's key",
    changes: {
      leaf: {
        issuer: { name: nameOf(["O=Acme", "CN=Intermediate"]), key: keyOf("ca O=Acme,CN=Root"), der: new Uint8Array() },
      },
    },
    accepted: false,
  },
  {
    name: "SHA-1",
    changes: { intermediate: { signing: "sha1" } },
    accepted: false,
  },
  {
    name: "a leaf that is an authority",
    changes: {
      intermediate: { extensions: [basicConstraints(true), CA_USAGE] },
      leaf: { extensions: [basicConstraints(true), CA_USAGE] },
    },
    accepted: false,
    differs: "asked for no usage, OpenSSL takes an authority's certificate for a signer's",
  },
  {
    name: "a leaf for key agreement",
    changes: { leaf: { extensions: [keyUsage(4)] } },
    accepted: false,
    differs: "asked for no usage, OpenSSL reads none",
  },
  {
    name: "another key identifier of the issuer",
    changes: { intermediate: { extensions: [...CHAIN, extension("2.5.29.35", sequence())] } },
    accepted: true,
  },
  {
    name: "a permitted host",
    changes: {
      intermediate: { extensions: names(general.dns("example.com")) },
      leaf: { extensions: named(general.dns("a.example.com")) },
    },
    accepted: true,
  },
  {
    name: "a host that is not",
    changes: {
      intermediate: { extensions: names(general.dns("example.com")) },
      leaf: { extensions: named(general.dns("a.example.org")) },
    },
    accepted: false,
  },
  {
    name: "a host that only ends alike",
    changes: {
      intermediate: { extensions: names(general.dns("example.com")) },
      leaf: { extensions: named(general.dns("badexample.com")) },
    },
    accepted: false,
  },
  {
    name: "an excluded host",
    changes: {
      intermediate: { extensions: barred(general.dns("example.com")) },
      leaf: { extensions: named(general.dns("A.Example.Com")) },
    },
    accepted: false,
  },
  {
    name: "a permitted mailbox",
    changes: {
      intermediate: { extensions: names(general.email("example.com")) },
      leaf: { extensions: named(general.email("a@example.com")) },
    },
    accepted: true,
  },
  {
    name: "a mailbox of a host below",
    changes: {
      intermediate: { extensions: names(general.email("example.com")) },
      leaf: { extensions: named(general.email("a@x.example.com")) },
    },
    accepted: false,
  },
  {
    name: "a permitted URI",
    changes: {
      intermediate: { extensions: names(general.uri("example.com")) },
      leaf: { extensions: named(general.uri("https://example.com/a")) },
    },
    accepted: true,
  },
  {
    name: "a URI of another host",
    changes: {
      intermediate: { extensions: names(general.uri("example.com")) },
      leaf: { extensions: named(general.uri("https://example.org/example.com")) },
    },
    accepted: false,
  },
  {
    name: "a permitted address",
    changes: {
      intermediate: { extensions: names(general.ip(10, 0, 0, 0, 255, 0, 0, 0)) },
      leaf: { extensions: named(general.ip(10, 9, 8, 7)) },
    },
    accepted: true,
  },
  {
    name: "an address outside",
    changes: {
      intermediate: { extensions: names(general.ip(10, 0, 0, 0, 255, 0, 0, 0)) },
      leaf: { extensions: named(general.ip(11, 9, 8, 7)) },
    },
    accepted: false,
  },
  {
    name: "a permitted subject",
    changes: {
      intermediate: { extensions: names(general.directory(nameOf(["O=Acme"]))) },
      leaf: { name: ["O=acme", "CN=x"], extensions: [SIGNING_USAGE] },
    },
    accepted: true,
  },
  {
    name: "a subject that is not",
    changes: {
      intermediate: { extensions: names(general.directory(nameOf(["O=Acme"]))) },
      leaf: { name: ["O=Other", "CN=x"], extensions: [SIGNING_USAGE] },
    },
    accepted: false,
  },
  {
    name: "an excluded subject in other letters",
    changes: {
      intermediate: { extensions: barred(general.directory(nameOf(["O=Acme"]))) },
      leaf: { name: ["O=ACME ", "CN=x"], extensions: [SIGNING_USAGE] },
    },
    accepted: false,
  },
  {
    name: "a timestamp authority",
    changes: { intermediate: { extensions: CHAIN }, leaf: { extensions: [SIGNING_USAGE, stamping] } },
    purpose: "timestamping",
    accepted: true,
  },
  {
    name: "one below an issuer for timestamps",
    changes: {
      intermediate: { extensions: [...CHAIN, extendedKeyUsage([TIMESTAMPING])] },
      leaf: { extensions: [SIGNING_USAGE, stamping] },
    },
    purpose: "timestamping",
    accepted: true,
  },
  {
    name: "a usage that is not critical",
    changes: {
      intermediate: { extensions: CHAIN },
      leaf: { extensions: [SIGNING_USAGE, extendedKeyUsage([TIMESTAMPING])] },
    },
    purpose: "timestamping",
    accepted: false,
  },
  {
    name: "a usage that is not alone",
    changes: {
      intermediate: { extensions: CHAIN },
      leaf: { extensions: [SIGNING_USAGE, extendedKeyUsage([TIMESTAMPING, CODE_SIGNING], true)] },
    },
    purpose: "timestamping",
    accepted: false,
  },
  {
    name: "no usage",
    changes: { intermediate: { extensions: CHAIN }, leaf: { extensions: [SIGNING_USAGE] } },
    purpose: "timestamping",
    accepted: false,
  },
  {
    name: "a timestamp authority that may sign nothing",
    changes: { intermediate: { extensions: CHAIN }, leaf: { extensions: [keyUsage(4), stamping] } },
    purpose: "timestamping",
    accepted: false,
  },
];

describe.skipIf(!OPENSSL)("OpenSSL agrees on", () => {
  test.each(cases)("$name", async ({ changes, purpose = "any", accepted, differs }) => {
    const { root, intermediate, leaf } = codeSigningChain(changes ?? {});
    expect(await ours(leaf.der, intermediate.der, root, purpose)).toBe(accepted);
    const [theirs] = openssl([leaf.der], intermediate.der, root.der, purpose);
    expect(theirs).toBe(differs === undefined ? accepted : !accepted);
  });
});

// But for key identifiers: OpenSSL demands that those of issuer and subject agree, here they only order the search (RFC 5280 §4.2.1.1 calls
// them a help in building paths). Which key signed is found out by the signature alone.
describe.skipIf(!OPENSSL)("OpenSSL takes whatever is taken here", () => {
  const { root, intermediate, leaf } = codeSigningChain();

  test("of leaves that their issuer signed with one value changed", async () => {
    const taken: Uint8Array[] = [];
    const what: string[] = [];
    for (const damage of damages(parsed(leaf).tbs)) {
      const der = resigned(parsed(leaf), intermediate, damage.der);
      if (await ours(der, intermediate.der, root, "any")) {
        taken.push(der);
        what.push(damage.what);
      }
    }
    expect(taken.length).toBeGreaterThan(10);
    const theirs = openssl(taken, intermediate.der, root.der, "any");
    const refused = what.filter((_, i) => theirs[i] !== true);
    expect(refused).toEqual(["0.7.0.3.1.0.0 altered"]);
  });

  test("of intermediates that the root signed with one value changed", async () => {
    const refused: string[] = [];
    let taken = 0;
    for (const damage of damages(parsed(intermediate).tbs)) {
      const der = resigned(parsed(intermediate), root, damage.der);
      if (!(await ours(leaf.der, der, root, "any"))) continue;
      taken++;
      if (openssl([leaf.der], der, root.der, "any")[0] !== true) refused.push(damage.what);
    }
    expect(taken).toBeGreaterThan(5);
    expect(refused).toEqual(["0.7.0.3.1.0 altered", "0.7.0.4.1.0.0 altered"]);
  });
});

// Another maker than ours: names in other string types, other serial numbers, critical flags where OpenSSL puts them.
test.skipIf(!OPENSSL)("a chain that OpenSSL itself made is good", async () => {
  const run = (...args: string[]): void => {
    const { status, stderr } = spawnSync("openssl", args, { encoding: "utf8", cwd: directory });
    if (status !== 0) throw new Error(stderr);
  };
  const make = (name: string, extensions: string, signer: string | undefined, key: string[]): void => {
    writeFileSync(join(directory, `${name}.ext`), extensions);
    run("genpkey", ...key, "-out", `${name}.key`);
    run("req", "-new", "-key", `${name}.key`, "-subj", `/C=DE/O=Acme, Inc./CN=${name}`, "-out", `${name}.csr`);
    const by = signer === undefined ? ["-signkey", `${name}.key`] : ["-CA", `${signer}.crt`, "-CAkey", `${signer}.key`];
    const terms = ["-days", "30", "-extfile", `${name}.ext`, ...(signer === undefined ? [] : ["-CAcreateserial"])];
    run("x509", "-req", "-in", `${name}.csr`, ...by, ...terms, "-sha384", "-out", `${name}.crt`);
  };
  const authority = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n";
  const p384 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
  make("root", authority, undefined, ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
  make("issuing", `${authority}nameConstraints=permitted;email:example.com\n`, "root", p384);
  const usage = "keyUsage=digitalSignature\nextendedKeyUsage=codeSigning\nauthorityKeyIdentifier=keyid,issuer\n";
  make("signer", `${usage}subjectAltName=email:a@example.com\n`, "issuing", p384);
  const read = (name: string): Certificate => parseCertificatePem(readFileSync(join(directory, `${name}.crt`), "utf8"));
  const leaf = read("signer");
  expect(leaf.subjectText).toBe("CN=signer,O=Acme\\, Inc.,C=DE");
  const root = x509Root("corp", [readFileSync(join(directory, "root.crt"), "utf8")]);
  const asked = { leaf, intermediates: [read("issuing")], authorities: root.certificateAuthorities };
  const result = await verifyChain(nodeCrypto, { ...asked, time: leaf.notBefore, purpose: "code-signing" });
  expect(result).toMatchObject({ ok: true });
  const after = { ...asked, time: leaf.notAfter + 1 };
  expect(await verifyChain(nodeCrypto, { ...after, purpose: "code-signing" })).toMatchObject({
    code: "certificate-expired",
  });
});
