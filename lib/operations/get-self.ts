import { publicKey } from '../api-key.ts';
import { OneKey } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey } from './example-key.ts';
import { visibleKey } from './visible-key.ts';

export const getSelf = defineOperation({
  name: 'get-self',
  method: 'GET',
  path: '/api-keys/self',
  authenticated: true,
  summary: 'Show the calling key',
  description: 'The key that the request was made with: when it ends, and what it was rotated to.',
  answer: { status: 200, description: 'The calling key.', schema: OneKey },
  problems: ['not_found'],
  examples: { answer: { api_key: exampleKey } },
  async run({ caller, now }) {
    return { api_key: publicKey(await visibleKey(caller, caller.key_id), now) };
  },
});
