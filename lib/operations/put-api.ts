import { z } from 'zod';
import { Declaration } from '../api.schema.ts';
import { decidePut } from '../api-registration.ts';
import { changeApi, readApis } from '../api-table.ts';
import { homeOfStack } from '../environment.ts';
import { NotFound } from '../problem.ts';
import { registerStages } from '../register-stage.ts';
import { Force, OneApi } from './api-answers.schema.ts';
import { apiIds } from './api-ids.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleApi } from './example-api.ts';

/** Bytes: 200 KB of routes, and what they mean. */
const LARGEST_BODY = 360_000;

const PutApi = z
  .strictObject({
    routes: Declaration.shape.routes,
    scopes: Declaration.shape.scopes.default({}),
    stages: Declaration.shape.stages.default([]),
    if_version: z.int('must be a whole number').min(0, 'must be at least 0').optional().meta({
      description:
        'The version that this is to replace; 0: there must be none. By default whichever is there.',
    }),
  })
  .meta({ id: 'PutApi' });

export const putApi = defineOperation({
  name: 'put-api',
  method: 'PUT',
  path: '/apis/{id}',
  ids: apiIds,
  scope: 'apis:manage',
  summary: 'Register an API',
  description:
    "Declares the routes of an API and their scopes, in place of what was declared before. It belongs to the calling key's owner from then on, and nobody else's registration can be replaced. The authorizer goes by it where the API's stage has the variable `rekeyOwner` with that owner.",
  query: z.strictObject({ force: Force }),
  body: PutApi,
  largestBody: LARGEST_BODY,
  answer: { status: 200, description: 'The API as it is registered now.', schema: OneApi },
  problems: [
    'owner_forbidden',
    'environment_forbidden',
    'api_of_stack',
    'api_changed',
    'api_limit',
    'scope_in_use',
  ],
  examples: {
    body: { routes: exampleApi.routes, scopes: exampleApi.scopes, stages: exampleApi.stages },
    answer: { api: exampleApi },
  },
  async run({ caller, id, query, body, now, origin }) {
    const change = await changeApi((apis) => decidePut(apis, id, body, caller, now), {
      force: query.force === 'true',
      origin,
    });
    // Nothing to change: what is there is what was asked for.
    const api =
      change?.after ?? (await readApis()).find((there) => there.id === id && there.source === 'request');
    if (!api) throw new NotFound();
    // Whatever was there: an earlier try may have ended here.
    await registerStages(id, api.stages, homeOfStack(), now);
    return { api };
  },
});
