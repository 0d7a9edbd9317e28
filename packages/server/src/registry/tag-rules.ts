import { type Digest, parseDigest } from "@assay/evidence";

/** The grammar of a tag (OCI distribution 1.1, "Pulling manifests"). */
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Rule 9 of ARCHITECTURE.md, "Rules of the domain". */
const RELEASE = /^v?\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/;
const MOVING = /-(?:SNAPSHOT|dev)$/;
const HEXADECIMAL = /^(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$/;

/** The OCI fallback tag of a subject, and the tags cosign 1 and 2 keep evidence under. */
const EVIDENCE = /^sha256-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/;

export function isTag(text: string): boolean {
  return TAG.test(text);
}

/**
 * Whether a tag, once set, never names another digest: semantic versions (but for `-SNAPSHOT` and `-dev`), and what looks like the
 * hash of a commit or of content.
 */
export function isReleaseTag(tag: string): boolean {
  return HEXADECIMAL.test(tag) || (RELEASE.test(tag) && !MOVING.test(tag));
}

/** Whether a tag is one that signing clients keep evidence under: it moves by their design, where evidence may be written. */
export function isEvidenceTag(tag: string): boolean {
  return EVIDENCE.test(tag);
}

/** The digest that what lies under an evidence tag is about; undefined for every other tag. */
export function evidenceTagSubject(tag: string): Digest | undefined {
  return isEvidenceTag(tag) ? parseDigest(tag.slice(0, 71).replace("-", ":")) : undefined;
}
