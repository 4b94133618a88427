import { defineOperation } from './definition.ts';
import { revokeKey } from './revoke-key.ts';

export const revokeSelf = defineOperation({
  name: 'revoke-self',
  method: 'POST',
  path: '/api-keys/self/revoke',
  authenticated: true,
  summary: 'Revoke the calling key',
  description:
    'Ends the key that the request was made with, for good; this request was its last. Its successor, if it has one, goes on.',
  body: revokeKey.body,
  bodyOptional: true,
  answer: revokeKey.answer,
  problems: ['not_found'],
  examples: revokeKey.examples,
  run: (request) => revokeKey.run({ ...request, id: request.caller.key_id }),
});
