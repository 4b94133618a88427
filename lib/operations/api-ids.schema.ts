import { ApiId } from '../api.schema.ts';

/** The id of paths under one API. */
export const apiIds = { id: ApiId };
