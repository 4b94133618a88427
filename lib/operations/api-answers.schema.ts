import { z } from 'zod';
import { Api } from '../api.schema.ts';

export const OneApi = z.object({ api: Api }).meta({ id: 'OneApi' });

/** In a query everything is text. */
export const Force = z
  .enum(['true', 'false'])
  .default('false')
  .meta({ description: '`true`: also when active keys hold a scope that no API would know any more.' });
