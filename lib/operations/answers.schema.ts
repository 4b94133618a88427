import { z } from 'zod';
import { ApiKey } from '../api-key.schema.ts';
import { Event } from '../event.schema.ts';
import { StageCache } from '../stage.schema.ts';

export const OneKey = z.object({ api_key: ApiKey }).meta({ id: 'OneKey' });

export const Caches = z.array(StageCache).nullable().meta({
  description:
    'Each stage of each API: whether what API Gateway keeps of answers is `flushed`, still `pending` (the queue goes on), or whether it keeps `none`. null: it could not be asked which stages there are; the queue flushes them.',
});

/** After a key was ended. */
export const EndedKey = OneKey.extend({ caches: Caches }).meta({ id: 'EndedKey' });

/** After a key was changed. */
export const ChangedKey = OneKey.extend({
  caches: Caches.optional().meta({
    description: 'As with a revocation, where the key may do less than before, or less long.',
  }),
}).meta({ id: 'ChangedKey' });

/** Pages end with `next_cursor: null`. */
const NextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Send it as `cursor` for the next page; null: this was the last one.' });

export const KeyPage = z.object({ data: z.array(ApiKey), next_cursor: NextCursor }).meta({ id: 'KeyPage' });

export const EventPage = z
  .object({ data: z.array(Event), next_cursor: NextCursor })
  .meta({ id: 'EventPage' });

export const Plaintext = z.string().meta({
  description: 'The key itself. This answer is the only place where it is ever shown.',
});
