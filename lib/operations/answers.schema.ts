import { z } from 'zod';
import { ApiKey } from '../api-key.schema.ts';
import { Event } from '../event.schema.ts';

export const OneKey = z.object({ api_key: ApiKey }).meta({ id: 'OneKey' });

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
