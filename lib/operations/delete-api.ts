import { z } from 'zod';
import { decideDelete } from '../api-registration.ts';
import { changeApi } from '../api-table.ts';
import { REQUESTED } from '../register-stage.ts';
import { giveUpStages } from '../stage-table.ts';
import { Force } from './api-answers.schema.ts';
import { apiIds } from './api-ids.schema.ts';
import { defineOperation } from './definition.ts';

export const deleteApi = defineOperation({
  name: 'delete-api',
  method: 'DELETE',
  path: '/apis/{id}',
  ids: apiIds,
  scope: 'apis:manage',
  summary: 'Delete the registration of an API',
  description: 'From then on every request to it is refused, and what only it needs is no scope any more.',
  query: z.strictObject({ force: Force }),
  answer: { status: 204, description: 'It is deleted.', schema: z.null() },
  problems: ['environment_forbidden', 'not_found', 'api_of_stack', 'scope_in_use'],
  examples: { answer: null },
  async run({ caller, id, query, now, origin }) {
    await changeApi((apis) => decideDelete(apis, id, caller), { force: query.force === 'true', origin });
    await giveUpStages(id, REQUESTED, now);
    return null;
  },
});
