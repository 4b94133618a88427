import { shownTo } from '../caller.ts';
import { OneKey } from './answers.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleKey } from './example-key.ts';
import { visibleKey } from './visible-key.ts';

export const getKey = defineOperation({
  name: 'get-key',
  method: 'GET',
  path: '/api-keys/{id}',
  scope: 'api-keys:read',
  summary: 'Get a key',
  description: 'The key as it is now. Its text is never shown again.',
  answer: { status: 200, description: 'The key.', schema: OneKey },
  problems: ['not_found'],
  examples: { answer: { api_key: exampleKey } },
  async run({ caller, id, now }) {
    return { api_key: shownTo(caller, await visibleKey(caller, id), now) };
  },
});
