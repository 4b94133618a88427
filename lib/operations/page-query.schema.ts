import { z } from 'zod';

const LONGEST_CURSOR = 512;
const DEFAULT_LIMIT = 50;

/** A query parameter is text, so the number is read here, strictly: no `1e1`, `0x10` or blank. */
export const Limit = z
  .string()
  .regex(/^(?:[1-9]\d?|100)$/, 'must be a whole number from 1 to 100')
  .transform(Number)
  .default(DEFAULT_LIMIT)
  .meta({
    description: 'How many entries a page has at most.',
    override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
      for (const name of Object.keys(jsonSchema)) if (name !== 'description') delete jsonSchema[name];
      Object.assign(jsonSchema, { type: 'integer', minimum: 1, maximum: 100, default: DEFAULT_LIMIT });
    },
  });

export const Cursor = z
  .string()
  .max(LONGEST_CURSOR, `must have at most ${LONGEST_CURSOR} characters`)
  .regex(/^[A-Za-z0-9_.-]+$/, 'must be the next_cursor of an earlier page')
  .meta({
    description:
      'The `next_cursor` of the page before. It is bound to the calling key and to the other parameters: change neither.',
  });
