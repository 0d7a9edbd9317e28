/** Certificate authorities and timestamp authorities made with the real `openssl`, good or unfit in a named way. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Home } from "./harness.ts";

/** A certificate with its key: paths of PEM files in the home, and the chain above it, the root last. */
export type Issued = { name: string; certificate: string; key: string; chain: readonly string[] };

export type IssueOptions = {
  /** The authority that issues it; else it signs itself. */
  by?: Issued;
  /** Lines of an OpenSSL extension section. */
  extensions: readonly string[];
  /** Options of `openssl genpkey`. */
  key?: readonly string[];
  /** First and last second of validity. */
  from?: Date;
  until?: Date;
};

export const P256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
export const rsa = (bits: number): string[] => ["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`];
export const curve = (name: string): string[] => ["-algorithm", "EC", "-pkeyopt", `ec_paramgen_curve:${name}`];

export const CA_EXTENSIONS = [
  "basicConstraints=critical,CA:TRUE",
  "keyUsage=critical,keyCertSign,cRLSign",
  "subjectKeyIdentifier=hash",
];
export const TSA_EXTENSIONS = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature",
  "extendedKeyUsage=critical,timeStamping",
  "subjectKeyIdentifier=hash",
  "authorityKeyIdentifier=keyid",
];
export const SIGNER_EXTENSIONS = [
  "basicConstraints=critical,CA:FALSE",
  "keyUsage=critical,digitalSignature",
  "extendedKeyUsage=codeSigning",
];

const DAY_MS = 86_400_000;

/** Issues a certificate named `CN=<name>, O=Acme`. `openssl ca` is used because it alone takes both ends of the validity. */
export async function issue(home: Home, name: string, options: IssueOptions): Promise<Issued> {
  const folder = home.path("pki", name);
  mkdirSync(folder, { recursive: true });
  const path = (file: string): string => home.path("pki", name, file);
  const { by, extensions, key = P256 } = options;
  const from = options.from ?? new Date(Date.now() - DAY_MS);
  const until = options.until ?? new Date(Date.now() + 3650 * DAY_MS);
  writeFileSync(
    path("ca.cnf"),
    [
      "[ca]\ndefault_ca=d\n[d]",
      `new_certs_dir=${folder}\ndatabase=${path("index.txt")}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no`,
      "[p]\ncommonName=supplied\norganizationName=optional\ncountryName=optional\nstateOrProvinceName=optional",
      "[req]\nprompt=no\ndistinguished_name=dn",
      `[dn]\nC=DE\nST=Berlin\nO=Acme\nCN=${name}`,
      `[e]\n${extensions.join("\n")}\n`,
    ].join("\n"),
  );
  writeFileSync(path("index.txt"), "");
  await home.must("openssl", ["genpkey", ...key, "-out", path("key.pem")]);
  await home.must("openssl", [
    "req",
    "-new",
    "-config",
    path("ca.cnf"),
    "-key",
    path("key.pem"),
    "-out",
    path("csr.pem"),
  ]);
  const signer =
    by === undefined ? ["-selfsign", "-keyfile", path("key.pem")] : ["-cert", by.certificate, "-keyfile", by.key];
  const config = ["-config", path("ca.cnf"), "-extensions", "e", "-preserveDN"];
  const validity = ["-startdate", utc(from), "-enddate", utc(until)];
  const files = ["-in", path("csr.pem"), "-out", path("cert.pem")];
  await home.must("openssl", ["ca", "-batch", "-notext", ...config, ...signer, ...validity, ...files]);
  const chain = by === undefined ? [] : [by.certificate, ...by.chain];
  return { name, certificate: path("cert.pem"), key: path("key.pem"), chain };
}

/** A PEM file of these certificates, one after another. */
export function pemFile(home: Home, name: string, paths: readonly string[]): string {
  const path = home.path("pki", `${name}.pem`);
  writeFileSync(path, paths.map((each) => readFileSync(each, "utf8")).join(""));
  return path;
}

export type StampOptions = {
  message: Uint8Array;
  /** Hash of the imprint. */
  hash?: "sha1" | "sha256" | "sha384" | "sha512";
  /** Whether the token carries the certificates. */
  certificates?: boolean;
  /** Hash by which the signer names its certificate: "sha1" is the attribute of before RFC 5816. */
  nameBy?: "sha1" | "sha256" | "sha384" | "sha512";
  /** Hash of the signature. */
  digest?: "sha256" | "sha384" | "sha512";
};

/** A TimeStampResp of `openssl ts -reply`, in DER. */
export async function stamp(home: Home, tsa: Issued, options: StampOptions): Promise<Uint8Array> {
  const path = (file: string): string => home.path("pki", tsa.name, file);
  writeFileSync(path("message"), options.message);
  const query = ["ts", "-query", "-data", path("message"), `-${options.hash ?? "sha256"}`, "-out", path("query")];
  await home.must("openssl", [...query, ...((options.certificates ?? true) ? ["-cert"] : [])]);
  return stampQuery(home, tsa, readFileSync(path("query")), options);
}

/** The answer to a TimeStampReq in DER. */
export async function stampQuery(
  home: Home,
  tsa: Issued,
  query: Uint8Array,
  options: Pick<StampOptions, "digest" | "nameBy"> = {},
): Promise<Uint8Array> {
  const path = (file: string): string => home.path("pki", tsa.name, file);
  const chain = pemFile(home, `${tsa.name}-chain`, tsa.chain);
  writeFileSync(
    path("ts.cnf"),
    [
      "[tsa]\ndefault_tsa=t\n[t]",
      `serial=${path("serial")}\nsigner_cert=${tsa.certificate}\ncerts=${chain}\nsigner_key=${tsa.key}`,
      `signer_digest=${options.digest ?? "sha256"}\ndefault_policy=1.2.3.4.1\ndigests=sha1,sha256,sha384,sha512`,
      `accuracy=secs:1,millisecs:500\nordering=yes\ntsa_name=yes\ness_cert_id_alg=${options.nameBy ?? "sha256"}\n`,
    ].join("\n"),
  );
  if (!existsSync(path("serial"))) writeFileSync(path("serial"), "01\n");
  writeFileSync(path("query"), query);
  await home.must("openssl", [
    "ts",
    "-reply",
    "-config",
    path("ts.cnf"),
    "-queryfile",
    path("query"),
    "-out",
    path("reply"),
  ]);
  return new Uint8Array(readFileSync(path("reply")));
}

/** The bare TimeStampToken of a response. */
export async function tokenOf(home: Home, response: Uint8Array): Promise<Uint8Array> {
  writeFileSync(home.path("response"), response);
  await home.must("openssl", ["ts", "-reply", "-in", home.path("response"), "-token_out", "-out", home.path("token")]);
  return new Uint8Array(readFileSync(home.path("token")));
}

/**
 * A token over the TSTInfo of another one, by a certificate that `openssl ts -reply` itself refuses to work for: it signs with
 * `openssl cms`, which does not ask what the certificate is for.
 */
export async function restamp(home: Home, token: Uint8Array, signer: Issued): Promise<Uint8Array> {
  const path = (file: string): string => home.path(file);
  writeFileSync(path("token"), token);
  const extract = ["cms", "-verify", "-noverify", "-inform", "DER", "-in", path("token"), "-out", path("tstinfo")];
  await home.must("openssl", extract);
  const sign = ["cms", "-sign", "-binary", "-nodetach", "-cades", "-nosmimecap", "-md", "sha256", "-outform", "DER"];
  const type = ["-econtent_type", "1.2.840.113549.1.9.16.1.4"];
  const by = ["-signer", signer.certificate, "-inkey", signer.key];
  await home.must("openssl", [...sign, ...type, ...by, "-in", path("tstinfo"), "-out", path("restamped")]);
  return new Uint8Array(readFileSync(path("restamped")));
}

/** What `openssl ts -verify` says of a response or token over a message; `at` is the moment for which it judges certificates. */
export async function opensslAccepts(
  home: Home,
  token: Uint8Array,
  options: { message: Uint8Array; root: string; untrusted?: string; bare?: boolean; at?: Date },
): Promise<boolean> {
  writeFileSync(home.path("to-verify"), token);
  writeFileSync(home.path("to-verify.message"), options.message);
  const verify = ["ts", "-verify", "-data", home.path("to-verify.message"), "-in", home.path("to-verify")];
  const { code, stdout, stderr } = await home.run("openssl", [
    ...verify,
    "-CAfile",
    options.root,
    ...(options.untrusted === undefined ? [] : ["-untrusted", options.untrusted]),
    ...(options.bare === true ? ["-token_in"] : []),
    ...(options.at === undefined ? [] : ["-attime", String(Math.floor(options.at.getTime() / 1000))]),
  ]);
  const said = `${stdout}${stderr}`;
  if (code === 0 && said.includes("Verification: OK")) return true;
  if (code === 0) throw new Error(`openssl ts -verify ended well without a verdict:\n${said}`);
  return false;
}

/** UTCTime in seconds, as `openssl ca` takes it. */
function utc(date: Date): string {
  return `${date.toISOString().slice(2, 19).replaceAll(/[-:T]/g, "")}Z`;
}
