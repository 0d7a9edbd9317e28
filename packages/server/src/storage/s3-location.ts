/** Where blobs are in S3, and the credentials to get there. */
export interface S3Location {
  /** Scheme, host and port of the server. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** What every key begins with, without slashes at its ends; "" for the whole bucket. */
  readonly prefix: string;
  /** `endpoint/bucket/key` instead of `bucket.endpoint/key`. */
  readonly pathStyle: boolean;
  readonly credentials: S3Credentials;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

/** Amazon's naming rules without its later exceptions (S3 user guide, "Bucket naming rules"). */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;
const PREFIX_BYTES = 256;
const REGION = /^[a-z0-9][a-z0-9-]{0,62}$/;
const PARAMETERS: ReadonlySet<string> = new Set(["endpoint", "region", "path-style"]);

/**
 * Reads `s3://bucket/prefix?endpoint=…&region=…&path-style=1`. Without `endpoint` it is Amazon's of the region; with one, the bucket
 * stands in the path unless `path-style=0`.
 *
 * @throws Error in words for the person who set it.
 */
export function parseBlobsUrl(text: string): Omit<S3Location, "credentials"> {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new Error("must be a URL such as s3://bucket/prefix?region=eu-central-1", { cause });
  }
  if (url.protocol !== "s3:") throw new Error("must begin with s3://");
  if (url.username !== "" || url.password !== "") {
    throw new Error("must not hold credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  if (url.port !== "" || url.hash !== "")
    throw new Error("has a port or a fragment: the server's address belongs in endpoint=");
  const bucket = url.hostname;
  if (!BUCKET.test(bucket)) throw new Error(`${JSON.stringify(bucket)} is no bucket name (3 to 63 of a-z 0-9 . -)`);
  const prefix = url.pathname.replace(/^\//, "").replace(/\/$/, "");
  if (prefix !== "" && (!PREFIX.test(prefix) || prefix.length > PREFIX_BYTES)) {
    throw new Error(
      `the prefix ${JSON.stringify(prefix)} may have letters, digits, ".", "_", "-" and single slashes only`,
    );
  }
  for (const name of new Set(url.searchParams.keys())) {
    if (!PARAMETERS.has(name)) throw new Error(`has the parameter ${name}: known are ${[...PARAMETERS].join(", ")}`);
    if (url.searchParams.getAll(name).length > 1) throw new Error(`has ${name} twice`);
  }
  const region = url.searchParams.get("region") ?? "us-east-1";
  if (!REGION.test(region)) throw new Error(`${JSON.stringify(region)} is no region`);
  const given = url.searchParams.get("endpoint");
  const style = url.searchParams.get("path-style") ?? (given === null && !bucket.includes(".") ? "0" : "1");
  if (style !== "0" && style !== "1") throw new Error("path-style is 0 or 1");
  return {
    endpoint: given === null ? `https://s3.${region}.amazonaws.com` : parseEndpoint(given),
    region,
    bucket,
    prefix,
    pathStyle: style === "1",
  };
}

function parseEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    (url.protocol !== "http:" && url.protocol !== "https:") ||
    url.pathname !== "/" ||
    url.search !== "" ||
    url.hash !== "" ||
    url.username !== "" ||
    url.password !== ""
  ) {
    throw new Error("endpoint is scheme, host and port of the S3 server, for example https://s3.example.com");
  }
  return url.origin;
}
