/** How long what was deleted can come back, ms, where `ASSAY_DELETED_GRACE` says nothing: until then its bytes are kept. */
export const deletedGraceMs = 7 * 24 * 60 * 60 * 1000;
