import { PIECE } from "../storage/aligned-memory.ts";

/** ms; of UTC, which has no longer and no shorter ones. */
export const DAY_MS = 86_400_000;

/** Every bound on what comes in through `/v2/`, in one place. */
export const REGISTRY_LIMITS = {
  /** Bytes of a manifest (OCI distribution: at least 4 MiB; more is answered 413). */
  manifestBytes: 4 * 1024 * 1024,
  /** Nesting of a manifest's JSON. */
  manifestDepth: 64,
  /** Descriptors in one manifest: they become rows and stand in its event. */
  manifestReferences: 4096,
  /** UTF-8 bytes of the annotations, as JSON, of a manifest with a subject: referrers lists repeat them. */
  annotationBytes: 256 * 1024,
  /** Bytes of one blob. */
  blobBytes: 1024 ** 4,
  /** Upload sessions one identity may have under way: those that something was written to. */
  uploadsPerActor: 1000,
  /** Tags one PUT may set (`?tag=`). */
  tagsPerPut: 32,
  /** Tags that are deleted with their manifest: they stand in its event. */
  tagsPerDeletion: 10_000,
  /** Manifests that come with one promoted artifact: its platforms, what refers to them, and what refers to that. */
  promotedManifests: 1000,
  /** Tags or repositories in one list; more come by Link. */
  listPage: 10_000,
  /** Referrers in one answer, and the bytes after which the answer is cut; more come by Link. */
  referrersPage: 1000,
  referrersBytes: 2 * 1024 * 1024,
} as const;

/**
 * How long a blob stays visible in a repository without a manifest that names it, ms. Upload and mount begin it; HEAD by somebody who
 * may push renews it in its second half. A push must bring its manifest within this time of its first blob.
 */
export const LEASE_MS = 24 * 60 * 60 * 1000;

/** How long a URL holds that a pull is sent to, s: long enough to begin, and too short to be passed around. */
export const LENT_S = 60;

/** Blobs of fewer bytes are sent here: asking elsewhere would take longer. */
export const LENT_FROM = 64 * 1024;

/** How long an upload session lives after its last change, ms. */
export const UPLOAD_MS = 24 * 60 * 60 * 1000;

/** How long an upload session that was opened may wait for its first byte, ms. */
export const SESSION_NAME_MS = 60 * 60 * 1000;

/** How long a claim on a session holds without being renewed, ms: the time after which another process may go on. */
export const CLAIM_MS = 30_000;

/**
 * Bytes of a body up to which an upload that comes whole is staged apart, without a claim on its session: when its connection breaks, nothing of
 * it is kept. A larger one can be gone on with.
 */
export const WHOLE_BYTES = 8 * 1024 * 1024;

/**
 * Bytes of a body up to which a blob that comes whole is held in memory until it is stored, and staged nowhere: as much as an upload may hold of its
 * body in any case (admission.ts).
 */
export const AT_HAND_BYTES = PIECE;

/** How long an upload may send nothing before its connection is cut, ms. What came stays. */
export const IDLE_MS = 60_000;
