import { createAdminKey } from '../lib/admin-key.ts';

/**
 * Makes an API key that may do everything. No API reaches this function: only AWS credentials that may invoke it do.
 *
 * @param event `{ owner_id?, name?, expires_in_days? }`
 * @returns `{ key, api_key }`; the key is shown this once
 */
export const handler = async (event: unknown) => createAdminKey(event, Date.now());
