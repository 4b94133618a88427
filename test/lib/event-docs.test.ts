import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { EventType } from '../../lib/event.schema.ts';
import { eventSchemaFiles, eventsText } from '../../lib/event-docs.ts';
import { exampleEvents } from '../../lib/operations/example-event.ts';

const page = readFileSync('docs/events.md', 'utf8');

describe('docs/events.md', () => {
  it('is what npm run event-docs writes', () => {
    expect(page).toBe(eventsText(page));
    for (const type of EventType.options) expect(page).toContain(`### ${type}\n`);
  });
});

describe('docs/event-schemas', () => {
  const files = eventSchemaFiles();

  it('has one file for each type, as npm run event-docs writes it', () => {
    expect(readdirSync('docs/event-schemas').sort()).toEqual(
      EventType.options.map((type) => `${type}.json`).sort(),
    );
    for (const [name, text] of Object.entries(files)) expect(readFileSync(`docs/${name}`, 'utf8')).toBe(text);
  });

  it.each(EventType.options)(
    'of %s takes its example, also with members that are new, and no other type',
    (type) => {
      const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
      // biome-ignore lint/suspicious/noExplicitAny: the package's types do not know ESM's default
      ((formats as any).default ?? formats)(ajv);
      const validate = ajv.compile(JSON.parse(files[`event-schemas/${type}.json`]!));
      const example = exampleEvents[type];
      expect(validate(example)).toBe(true);
      expect(validate({ ...example, more: 1, data: { ...example.data, more: 1 } })).toBe(true);
      for (const other of EventType.options.filter((other) => other !== type))
        expect(validate(exampleEvents[other])).toBe(false);
      expect(validate({ ...example, data: {} })).toBe(false);
      expect(validate({ ...example, actor: undefined })).toBe(false);
    },
  );
});
