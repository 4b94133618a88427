import { z } from 'zod';
import { Reason } from './key-fields.schema.ts';
import { EventPattern } from './webhook-endpoint.schema.ts';

/** What a caller may write into a webhook endpoint, with its limits. What the URL must be, lib/webhook-url.ts says. */

const MOST_PATTERNS = 20;

export const SentUrl = z
  .string('must be a string')
  .min(1, 'must have at least 1 character')
  .max(2_048, 'must have at most 2048 characters')
  .meta({
    description:
      'Where to send: https, port 443 or 1024 and above, no user name or password, and a host with public addresses only.',
    example: 'https://hooks.example.com/rekey',
  });

export const SentPatterns = z
  .array(EventPattern, 'must be a list of event types')
  .min(1, 'must have at least 1 event type')
  .max(MOST_PATTERNS, `must have at most ${MOST_PATTERNS} event types`)
  .transform((patterns) => [...new Set(patterns)].sort())
  .meta({
    description: 'What to listen to; `GET /event-types` lists the types. Stored sorted, each one once.',
    example: ['api_key.*'],
  });

export const Description = Reason.meta({
  description: 'What people call it: 1 to 200 characters of plain text.',
  example: 'Chat bot of the billing team',
});
