import type { Reader } from "../storage/database.ts";
import type { KeyPurpose } from "../keys/keyring.ts";
import type { KeyTables } from "./service-key-schema.ts";

/** A public key of the service, as the record knows it. */
export interface ServicePublicKey {
  /** Lower-case hex SHA-256 of the key's SubjectPublicKeyInfo DER. */
  readonly id: string;
  readonly purpose: string;
  readonly algorithm: string;
  /** PEM, SubjectPublicKeyInfo. */
  readonly publicKeyPem: string;
  readonly retired: boolean;
}

/** The id of the key of a purpose that this database's own state belongs to; undefined when it belongs to none. */
export async function boundKey(reader: Reader, purpose: KeyPurpose): Promise<string | undefined> {
  const row = await reader
    .tables<KeyTables>()
    .selectFrom("bound_key")
    .select("id")
    .where("purpose", "=", purpose)
    .executeTakeFirst();
  return row?.id;
}

/** The service's public keys, oldest first, retired ones included: what they signed stays signed. */
export async function serviceKeys(reader: Reader, purpose?: KeyPurpose): Promise<ServicePublicKey[]> {
  let query = reader.tables<KeyTables>().selectFrom("key").selectAll();
  if (purpose !== undefined) query = query.where("purpose", "=", purpose);
  const rows = await query.orderBy("created_sequence").execute();
  return rows.map((row) => ({
    id: row.id,
    purpose: row.purpose,
    algorithm: row.algorithm,
    publicKeyPem: row.public_key,
    retired: row.retired_sequence !== null,
  }));
}
