import { readApis } from '../api-table.ts';
import { maySee } from '../caller.ts';
import { currentApis } from '../catalog.ts';
import { NotFound } from '../problem.ts';
import { OneApi } from './api-answers.schema.ts';
import { apiIds } from './api-ids.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleApi } from './example-api.ts';

export const getApi = defineOperation({
  name: 'get-api',
  method: 'GET',
  path: '/apis/{id}',
  ids: apiIds,
  scope: 'apis:read',
  summary: 'Read the registration of an API',
  description: 'With its routes and their scopes, whoever registered it: a request or a stack.',
  answer: { status: 200, description: 'The API.', schema: OneApi },
  problems: ['not_found'],
  examples: { answer: { api: exampleApi } },
  async run({ caller, id }) {
    const api = currentApis(await readApis()).find((api) => api.id === id);
    if (!api || !maySee(caller, api)) throw new NotFound();
    return { api };
  },
});
