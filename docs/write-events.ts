import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { eventSchemaFiles, eventsText } from '../lib/event-docs.ts';

const page = new URL('events.md', import.meta.url);
writeFileSync(page, eventsText(readFileSync(page, 'utf8')));

mkdirSync(new URL('event-schemas', import.meta.url), { recursive: true });
for (const [name, text] of Object.entries(eventSchemaFiles()))
  writeFileSync(new URL(name, import.meta.url), text);
