/**
 * Notary Project signatures that are made right by hand, or wrong in one way, with what we say of each and what notation says
 * (interop/notation.test.ts asks it). Where the two differ, `because` says why.
 */
import type { RefusalCode } from "../src/index.ts";
import { type Holder, issue, rootTerms, SERVER_AUTH, type Terms, TIMESTAMPING } from "./virtual-ca.ts";
import { keyOf } from "./virtual.ts";
import {
  AGENT,
  AUTHENTIC_TIME,
  basicConstraints,
  CA_USAGE,
  type Chain,
  CODE_SIGNING,
  COSE_ALGORITHMS,
  extendedKeyUsage,
  Float,
  keyUsage,
  Moment,
  PAYLOAD_TYPE,
  repeatedHeader,
  SCHEME,
  SIGNING_TIME,
  SIGNING_USAGE,
  type SignTerms,
  signCose,
  signingChain,
  signJws,
  Tagged,
  withHeader,
  withoutHeader,
} from "./virtual-notation.ts";

export type NotationCase = {
  readonly name: string;
  readonly envelope: Uint8Array;
  readonly format: "jws" | "cose";
  /** The certificate that is trusted. */
  readonly anchor: Holder;
  readonly ours: "good" | RefusalCode;
  readonly theirs: boolean;
  readonly because?: string;
};

export type Target = { readonly mediaType: string; readonly digest: string; readonly size: number };

const HOUR = 3_600_000;
const MALFORMED_HERE =
  "what is not signed and not known is refused: a verdict must not rest on a reading that others do not share";

/** All cases about one artifact; `now` is when they are asked about. */
export function notationCases(target: Target, now: number): NotationCase[] {
  const chain = signingChain();
  const [anchor] = chain.issuers;
  if (anchor === undefined) throw new Error("a chain has a root");
  const good: SignTerms = { chain, payload: { targetArtifact: target }, signingTime: now - HOUR };
  const cases: NotationCase[] = [];
  type Verdicts = Pick<NotationCase, "ours" | "theirs"> & { because?: string; anchor?: Holder };
  const jws = (name: string, changes: Partial<SignTerms>, { anchor: other = anchor, ...verdicts }: Verdicts): void => {
    const envelope = signJws({ ...good, ...changes });
    cases.push({ name: `jws: ${name}`, format: "jws", anchor: other, envelope, ...verdicts });
  };
  const cose = (
    name: string,
    changes: Partial<Parameters<typeof signCose>[0]>,
    { anchor: other = anchor, ...verdicts }: Verdicts,
  ): void => {
    const envelope = signCose({ ...good, ...changes });
    cases.push({ name: `cose: ${name}`, format: "cose", anchor: other, envelope, ...verdicts });
  };
  const both = (name: string, changes: Partial<SignTerms>, verdicts: Verdicts, inCose: Verdicts = verdicts): void => {
    jws(name, changes, verdicts);
    cose(name, changes, inCose);
  };
  const yes = { ours: "good", theirs: true } as const;
  const no = (ours: RefusalCode): Verdicts => ({ ours, theirs: false });

  // What is good.
  both("as notation writes it", {}, yes);
  both("that expires later", { expiry: now + HOUR }, yes);
  both(
    "with an attribute of the signer's own, not critical",
    { protect: withHeader("com.example.note", "hello") },
    yes,
  );
  both("without the name of its program", { unprotect: withoutHeader(AGENT) }, yes);
  for (const algorithm of ["ecdsa-p384-sha384", "ecdsa-p521-sha512", "rsa-pkcs1-sha256"] as const) {
    const own = signingChain({ key: keyOf("notary other", algorithm) });
    both(`by a key of ${algorithm}`, { chain: own }, { ...yes, ...anchorOf(own) });
  }
  const intermediate = withIntermediate(anchor);
  both("through an intermediate authority", { chain: intermediate }, yes);
  both("without extended key usage", leafWith(anchor, [basicConstraints(false), SIGNING_USAGE]), yes);
  both(
    "of a payload with more in it",
    { payload: { targetArtifact: { ...target, artifactType: "a/b" }, more: 1 } },
    yes,
  );

  // The payload.
  both(
    "about another artifact",
    { payload: { targetArtifact: { ...target, digest: `sha256:${"0".repeat(64)}` } } },
    no("subject-mismatch"),
  );
  both("of a payload without artifact", { payload: { artifact: target } }, no("malformed"));
  both("of a payload that is no JSON", { payload: new TextEncoder().encode("artifact") }, no("malformed"));
  both("of an empty payload", { payload: new Uint8Array(0) }, no("malformed"));
  both(
    "of another payload type",
    { protect: (headers) => headers.map(([name, value]) => [name, value === PAYLOAD_TYPE ? "text/plain" : value]) },
    no("unsupported"),
  );

  // Time.
  both("that has expired", { signingTime: now - 2 * HOUR, expiry: now - HOUR }, no("outside-validity"));
  both("that expires before it was made", { signingTime: now - HOUR, expiry: now - 2 * HOUR }, no("malformed"));
  both("that expires when it was made", { signingTime: now - HOUR, expiry: now - HOUR }, no("malformed"));
  both("whose expiry is not critical", { expiry: now + HOUR, protect: withCritical([SCHEME]) }, no("malformed"));
  both("without signing time", { protect: withoutHeader(SIGNING_TIME) }, no("malformed"));
  both(
    "made before its certificate was valid, as it says itself",
    { signingTime: now - 3_000 * 24 * HOUR },
    {
      ours: "certificate-expired",
      theirs: true,
      because: "notation does not look at the claimed time; it costs nothing to hold the signer to it",
    },
  );

  // Schemes and critical attributes.
  both("of another scheme", { protect: withHeader(SCHEME, "notary.x509.other") }, no("unsupported"));
  both("without scheme", { protect: withoutHeader(SCHEME) }, no("malformed"));
  both("whose scheme is not critical", { protect: withCritical([]) }, no("malformed"));
  both(
    "without list of critical attributes",
    { protect: (headers) => withoutHeader(2)(withoutHeader("crit")(headers)) },
    no("malformed"),
  );
  both(
    "with a critical attribute that is not known",
    { protect: (headers) => withCritical([SCHEME, "com.example.must"])(withHeader("com.example.must", "x")(headers)) },
    {
      ours: "unsupported",
      theirs: true,
      because:
        "the specification makes unknown critical attributes fail; notation 1.3.2 leaves them to plugins that are not there",
    },
  );
  both(
    "with a critical attribute that is not there",
    { protect: withCritical([SCHEME, "com.example.must"]) },
    no("malformed"),
  );
  both("with an attribute that is critical twice", { protect: withCritical([SCHEME, SCHEME]) }, no("malformed"), {
    ours: "malformed",
    theirs: true,
    because: "a list that repeats itself was not written by a signer that knows the format",
  });
  both(
    "that demands a verification plugin",
    {
      protect: (headers) =>
        withCritical([SCHEME, "io.cncf.notary.verificationPlugin"])(
          withHeader("io.cncf.notary.verificationPlugin", "example")(headers),
        ),
    },
    no("unsupported"),
  );
  both(
    "by a signing authority",
    { byAuthority: true },
    {
      ours: "good",
      theirs: false,
      because:
        "notation keeps signing authorities in another store; our roots do not tell them apart, and their time proves nothing here",
    },
  );
  both(
    "by a signing authority whose time is not critical",
    { byAuthority: true, protect: withCritical([SCHEME]) },
    no("malformed"),
  );
  both("with both signing times", { protect: withHeader(AUTHENTIC_TIME, new Moment(now - HOUR)) }, no("malformed"), {
    ours: "malformed",
    theirs: true,
    because: "the scheme has one of them; notation 1.3.2 looks for the other in JWS only",
  });

  // Algorithm, key and signature.
  both("under the wrong algorithm for its key", { algorithm: "ES384" }, no("signature-invalid"));
  both("with an altered signature", { alterSignature: flipLast }, no("signature-invalid"));
  both("with a signature cut short", { alterSignature: (signature) => signature.subarray(1) }, no("signature-invalid"));
  both("without signature", { alterSignature: () => new Uint8Array(0) }, no("malformed"));
  const otherKey = signingChain({ key: keyOf("notary other leaf") });
  both(
    "with the certificate of another key",
    { unprotect: (headers) => withChain(headers, otherKey) },
    no("signature-invalid"),
  );

  // Certificates.
  const stranger = issue({ ...rootTerms("Stranger"), extensions: [basicConstraints(true), CA_USAGE] });
  both("under another authority", {}, { ...no("chain-untrusted"), anchor: stranger });
  both("without certificates", { unprotect: (headers) => withChain(headers, undefined) }, no("malformed"));
  both("with an empty chain", { unprotect: (headers) => withChain(headers, []) }, no("malformed"));
  both(
    "whose chain lacks the root",
    { unprotect: (headers) => withChain(headers, [chain.leaf]) },
    no("certificate-invalid"),
  );
  both(
    "whose chain is out of order",
    {
      chain: intermediate,
      unprotect: (headers) => withChain(headers, [intermediate.leaf, ...intermediate.issuers.toReversed()]),
    },
    no("certificate-invalid"),
  );
  both(
    "whose chain has a stranger at its end",
    { unprotect: (headers) => withChain(headers, [chain.leaf, anchor, stranger]) },
    no("certificate-invalid"),
  );
  const unfit: [string, Uint8Array[]][] = [
    ["is for servers", [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([SERVER_AUTH])]],
    ["is for timestamps too", [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING, TIMESTAMPING])]],
    ["is an authority's", [basicConstraints(true), SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING])]],
    ["has no key usage", [basicConstraints(false), extendedKeyUsage([CODE_SIGNING])]],
    ["encrypts keys too", [basicConstraints(false), keyUsage(0, 2), extendedKeyUsage([CODE_SIGNING])]],
    ["does not sign", [basicConstraints(false), keyUsage(1), extendedKeyUsage([CODE_SIGNING])]],
  ];
  for (const [what, extensions] of unfit) {
    both(`whose certificate ${what}`, leafWith(anchor, extensions), no("certificate-invalid"));
  }
  both(
    "whose certificate is for any purpose",
    leafWith(anchor, [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage(["2.5.29.37.0"])]),
    {
      ours: "certificate-invalid",
      theirs: true,
      because: "the specification forbids anyExtendedKeyUsage; notation 1.3.2 does not look for it",
    },
  );
  both(
    "whose certificate has expired",
    { chain: { leaf: leafOf(anchor, { notAfter: now - HOUR }), issuers: [anchor] }, signingTime: now - 2 * HOUR },
    no("certificate-expired"),
  );
  both(
    "whose certificate is signed over SHA-1",
    { chain: { leaf: leafOf(anchor, { signing: "sha1" }), issuers: [anchor] } },
    no("certificate-invalid"),
  );
  const bare = issue({
    name: ["C=DE", "ST=Berlin", "O=Acme", "CN=Self"],
    key: keyOf("notary leaf"),
    extensions: [basicConstraints(false), SIGNING_USAGE, extendedKeyUsage([CODE_SIGNING])],
    notAfter: now + 1_000 * HOUR,
  });
  both(
    "by a certificate that signed itself",
    { chain: { leaf: bare, issuers: [] } },
    {
      ours: "chain-untrusted",
      theirs: true,
      anchor: bare,
      because: "roots hold authorities; a certificate vouches for nobody here, not even for itself",
    },
  );
  const noSigner = issue({ ...rootTerms("Barred"), extensions: [basicConstraints(true), keyUsage(6)] });
  both(
    "whose root may not sign certificates",
    { chain: { leaf: leafOf(noSigner), issuers: [noSigner] } },
    { ...no("certificate-invalid"), anchor: noSigner },
  );

  // What only one of the formats has.
  jws(
    "with a member that is not known",
    { unprotect: withHeader("kid", "1") },
    { ours: "malformed", theirs: true, because: MALFORMED_HERE },
  );
  jws(
    "with a header that is there twice",
    { protect: repeatedHeader("cty") },
    { ours: "malformed", theirs: true, because: "readers disagree about repeated members" },
  );
  jws("with an algorithm of no key", { protect: withHeader("alg", "none") }, no("unsupported"));
  jws("with a symmetric algorithm", { protect: withHeader("alg", "HS256") }, no("unsupported"));
  jws(
    "signed at a time of no calendar",
    { protect: withHeader(SIGNING_TIME, "2026-02-30T00:00:00Z") },
    no("malformed"),
  );
  jws("signed at a time with an offset", { protect: withHeader(SIGNING_TIME, offsetTime(now - HOUR)) }, yes);
  jws(
    "whose critical attributes hold a registered header",
    { protect: withCritical([SCHEME, "alg"]) },
    no("malformed"),
  );
  cose(
    "with a member that is not known",
    { unprotect: withHeader("kid", "1") },
    { ours: "malformed", theirs: true, because: MALFORMED_HERE },
  );
  cose("with a header that is there twice", { protect: repeatedHeader(3) }, no("malformed"));
  cose(
    "with a header that is both signed and not",
    { unprotect: withHeader(3, PAYLOAD_TYPE) },
    { ours: "malformed", theirs: true, because: "RFC 9052 §3 forbids it; notation reads the signed one" },
  );
  cose("without tag", { tag: null }, no("malformed"));
  cose("with another tag", { tag: 98 }, no("malformed"));
  cose("with a fifth part", { shape: (parts) => [...parts, 0] }, no("malformed"));
  cose(
    "with the payload elsewhere",
    { shape: ([headers = null, more = null, , signature = null]) => [headers, more, null, signature] },
    no("malformed"),
  );
  cose(
    "signed at a time without tag",
    { protect: withHeader(SIGNING_TIME, Math.floor(now / 1000) - 3600) },
    no("malformed"),
  );
  cose(
    "signed at a time in text",
    { protect: withHeader(SIGNING_TIME, new Tagged(0, offsetTime(now - HOUR))) },
    no("malformed"),
  );
  cose(
    "signed at a fraction of a second",
    { protect: withHeader(SIGNING_TIME, new Tagged(1, new Float(now / 1000 - 3600))) },
    {
      ours: "malformed",
      theirs: true,
      because: "the specification advises against fractions, and floating point is not read here",
    },
  );
  cose("with an algorithm that is not known", { protect: withHeader(1, -257) }, no("unsupported"));
  cose(
    "with a critical number",
    { protect: (headers) => withCriticalValues([SCHEME, 258])(headers) },
    no("unsupported"),
  );
  cose("whose chain is one byte string", { unprotect: withHeader(33, chain.leaf.der) }, no("malformed"));
  cose(
    "of the hash of a payload",
    { protect: (headers) => withHeader(258, -16)(withoutHeader(3)(headers)), payload: new Uint8Array(32) },
    no("unsupported"),
  );
  cose(
    "under the algorithm of a larger key",
    { algorithm: "ES384", protect: withHeader(1, COSE_ALGORITHMS["ES384"] ?? 0) },
    no("signature-invalid"),
  );
  return cases;
}

const withCritical = (names: readonly string[]) => withCriticalValues(names);

/** The list of critical attributes of either format. */
function withCriticalValues(names: readonly (string | number)[]): NonNullable<SignTerms["protect"]> {
  return (headers) => headers.map(([name, value]) => [name, name === "crit" || name === 2 ? names : value]);
}

function withChain(
  headers: Parameters<NonNullable<SignTerms["unprotect"]>>[0],
  chain: Chain | readonly Holder[] | undefined,
): ReturnType<NonNullable<SignTerms["unprotect"]>> {
  const label = headers.some(([name]) => name === 33) ? 33 : "x5c";
  if (chain === undefined) return withoutHeader(label)(headers);
  const holders = "leaf" in chain ? [chain.leaf, ...chain.issuers] : chain;
  return withHeader(
    label,
    holders.map(({ der }) => der),
  )(headers);
}

function leafOf(issuer: Holder, changes: Partial<Terms> = {}): Holder {
  return signingChain({ leaf: { issuer, ...changes } }).leaf;
}

function leafWith(issuer: Holder, extensions: readonly Uint8Array[]): Partial<SignTerms> {
  return { chain: { leaf: leafOf(issuer, { extensions }), issuers: [issuer] } };
}

function withIntermediate(root: Holder): Chain {
  const middle = issue({
    name: ["C=DE", "ST=Berlin", "O=Acme", "CN=Notary Intermediate"],
    issuer: root,
    extensions: [basicConstraints(true, 0), CA_USAGE],
    notAfter: Date.parse("2030-01-01T00:00:00Z"),
  });
  return { leaf: leafOf(middle), issuers: [middle, root] };
}

function anchorOf({ issuers }: Chain): { anchor?: Holder } {
  const last = issuers.at(-1);
  return last === undefined ? {} : { anchor: last };
}

const flipLast = (bytes: Uint8Array): Uint8Array => {
  const altered = Uint8Array.from(bytes);
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  return altered;
};

/** RFC 3339 two hours east of Greenwich. */
function offsetTime(ms: number): string {
  return `${new Date(ms + 2 * HOUR).toISOString().slice(0, 19)}+02:00`;
}
