import { defineOperation } from './definition.ts';
import { RotateKey, rotateKey } from './rotate-key.ts';

/** Without `expires_in_days`: the successor lives as long as the key did from its start, so no key lengthens its own life. */
const RotateSelf = RotateKey.omit({ expires_in_days: true }).meta({ id: 'RotateSelf' });

export const rotateSelf = defineOperation({
  name: 'rotate-self',
  method: 'POST',
  path: '/api-keys/self/rotate',
  authenticated: true,
  summary: 'Rotate the calling key',
  description:
    'As rotate-key, for the key that the request was made with. Its successor may have fewer scopes, never more, and lives as long as the key was given when it was made.',
  body: RotateSelf,
  bodyOptional: true,
  idempotent: true,
  answer: rotateKey.answer,
  problems: rotateKey.problems.filter(
    (code) => code !== 'owner_forbidden' && code !== 'environment_forbidden',
  ),
  examples: { body: { grace_period_hours: 48 }, answer: rotateKey.examples.answer },
  run: (request) => rotateKey.run({ ...request, id: request.caller.key_id }),
});
