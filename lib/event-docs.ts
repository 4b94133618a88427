import { z } from 'zod';
import { EventType, eventSchemaOf, eventTypes } from './event.schema.ts';
import { exampleEvents } from './operations/example-event.ts';

/** Where the written part of docs/events.md ends, and the part that is made of the schemas begins. */
const MARK = '<!-- From here on it is written by npm run event-docs. -->';

/** The JSON schema of one type as a file of its own. It allows more members than it names: there will be more. */
export function eventSchemaText(type: EventType): string {
  const { $schema, ...schema } = z.toJSONSchema(eventSchemaOf(type), { io: 'input' });
  const whole = {
    $schema,
    $id: `urn:rekey:event:${type}`,
    title: type,
    description: eventTypes[type].description,
  };
  return `${JSON.stringify({ ...whole, ...schema }, null, 2)}\n`;
}

/** The files of the schemas, by their names beside docs/events.md. */
export const eventSchemaFiles = (): Record<string, string> =>
  Object.fromEntries(EventType.options.map((type) => [`event-schemas/${type}.json`, eventSchemaText(type)]));

const section = (type: EventType): string =>
  [
    `### ${type}`,
    `${eventTypes[type].description} [JSON schema](event-schemas/${type}.json).`,
    `\`\`\`json\n${JSON.stringify(exampleEvents[type], null, 2)}\n\`\`\``,
  ].join('\n\n');

/** @param written docs/events.md as it is; what stands above the mark is kept */
export function eventsText(written: string): string {
  const end = written.indexOf(MARK);
  if (end === -1) throw new Error('docs/events.md has lost its mark');
  return `${written.slice(0, end)}${MARK}\n\n${EventType.options.map(section).join('\n\n')}\n`;
}
