import type { Api } from '../api.schema.ts';
import { exampleKey } from './example-key.ts';

/** For the documentation. */
export const exampleApi: Api = {
  id: 'a1b2c3d4e5',
  owner_id: exampleKey.owner_id,
  source: 'request',
  routes: { 'GET /things': ['things:read'], 'POST /things/{id}': ['things:write'], 'GET /health': [] },
  scopes: { 'reports:export': 'Export reports as files' },
  stages: [{ name: 'v1', cache_header: null, kind: 'rest' as const, flush_role_arn: null }],
  routes_hash: '4f0bb4c6a2a9e3f43b2e3fd2ac4c59f17ec8b56b03a7a3f5d43e4d2c0c11aa57',
  version: 1,
  created_at: exampleKey.created_at,
  created_by: exampleKey.created_by,
  updated_at: exampleKey.created_at,
  updated_by: exampleKey.created_by,
};
