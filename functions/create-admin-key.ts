import type { Context } from 'aws-lambda';
import { createAdminKey } from '../lib/admin-key.ts';
import { systemOrigin } from '../lib/event.ts';

/**
 * Makes an API key that may do everything. No API reaches this function: only AWS credentials that may invoke it do.
 *
 * @param event `{ owner_id?, name?, expires_in_days? }`
 * @returns `{ key, api_key }`; the key is shown this once
 */
export const handler = async (event: unknown, context?: Context) =>
  createAdminKey(event, systemOrigin('create-admin-key', Date.now(), context?.awsRequestId));
