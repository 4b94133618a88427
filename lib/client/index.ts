/** What services import as `rekey/client`. docs/client.md shows it. */

export { type ClientEvent, createRekeyClient, type RekeyClient, type RekeyClientOptions } from './client.ts';
export { type KeyStore, parseStored, type StoredKey } from './key-store.ts';
export { type KeyState, RekeyRefusal } from './management.ts';
export { type SecretsManagerOperation, secretsManagerStore } from './secrets-manager-store.ts';
