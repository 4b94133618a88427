import { ApiId } from '../api.schema.ts';
import { exampleApi } from './example-api.ts';

/** The id of paths under one API. */
export const apiIds = { id: ApiId.meta({ example: exampleApi.id }) };
