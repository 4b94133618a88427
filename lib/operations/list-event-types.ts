import { z } from 'zod';
import { Event, EventType, eventTypes } from '../event.schema.ts';
import { defineOperation } from './definition.ts';
import { exampleEvents } from './example-event.ts';

const EventTypes = z
  .object({
    data: z.array(
      z.object({
        name: EventType,
        description: z.string().meta({ description: 'When it happens.' }),
        example: Event,
      }),
    ),
  })
  .meta({ id: 'EventTypes' });

const answer = {
  data: EventType.options.map((name) => ({
    name,
    description: eventTypes[name].description,
    example: exampleEvents[name],
  })),
};

export const listEventTypes = defineOperation({
  name: 'list-event-types',
  method: 'GET',
  path: '/event-types',
  scope: 'api-keys:read',
  summary: 'List the types of events',
  description: 'Every type of event that this stack records and publishes, with an example.',
  answer: { status: 200, description: 'The types.', schema: EventTypes },
  problems: [],
  examples: { answer: { data: answer.data.slice(0, 1) } },
  run: async () => answer,
});
