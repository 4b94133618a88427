import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { openApiDocument, openApiText } from '../../lib/openapi.ts';
import { boundaryProblems } from '../../lib/operation.ts';
import { operations } from '../../lib/operations/index.ts';
import { problems } from '../../lib/problem.ts';

interface Media {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value: { type: string; status: number } }>;
}
interface OpenApiOperation {
  operationId: string;
  security: Record<string, string[]>[];
  parameters?: { name: string; in: string; schema: object }[];
  requestBody?: { required: boolean; content: Record<string, Media> };
  /** A 204 has no content. */
  responses: Record<string, { headers: object; content?: Record<string, Media> }>;
}

const document = JSON.parse(openApiText());
const at = (path: string, method: string): OpenApiOperation => document.paths[path][method.toLowerCase()];

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, keywords: ['example'] });
// biome-ignore lint/suspicious/noExplicitAny: the package's types do not know ESM's default
((formats as any).default ?? formats)(ajv);
for (const keyword of Object.keys(document)) ajv.addKeyword(keyword);
ajv.addSchema(document, 'openapi');
const errorsIn = (pointer: string, value: unknown) => {
  const validate = ajv.compile({ $ref: `openapi#${pointer}` });
  return validate(value) ? [] : validate.errors;
};
const escaped = (text: string) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
const pointerOf = (...parts: string[]) => parts.map((part) => `/${escaped(part)}`).join('');

describe('docs/openapi.json', () => {
  it('is what the schemas say: npm run openapi writes it', () => {
    expect(readFileSync('docs/openapi.json', 'utf8') === openApiText()).toBe(true);
  });

  it('is OpenAPI 3.1 whose references all lead somewhere', () => {
    expect(document.openapi).toBe('3.1.0');
    const references = [...openApiText().matchAll(/"\$ref": "([^"]+)"/g)].map((match) => match[1]!);
    expect(references.length).toBeGreaterThan(0);
    for (const reference of references) {
      const found = reference
        .slice(2)
        .split('/')
        .reduce((node, name) => node?.[name], document);
      expect(found).toBeDefined();
    }
    const ids = Object.values<Record<string, OpenApiOperation>>(document.paths).flatMap((item) =>
      Object.values(item).map((operation) => operation.operationId),
    );
    expect(new Set(ids).size).toBe(operations.length);
    expect(openApiDocument().components?.securitySchemes).toEqual({
      apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      bearer: { type: 'http', scheme: 'bearer' },
    });
  });

  it.each(operations.map((operation) => [operation.name, operation] as const))(
    '%s has its scope, its examples and all its problems, which fit their schemas',
    (_name, operation) => {
      const { path, method, scope } = operation;
      const described = at(path, method);
      const roles = scope === undefined ? [] : [scope];
      expect(described.security).toEqual(operation.public ? [] : [{ apiKey: roles }, { bearer: roles }]);

      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(described.parameters?.filter((one) => one.in === 'path').map((one) => one.name) ?? []).toEqual(
        named,
      );

      const base = ['paths', path, method.toLowerCase()];
      const body = described.requestBody?.content['application/json'];
      expect(Boolean(body)).toBe(Boolean(operation.body));
      if (body) {
        const pointer = pointerOf(...base, 'requestBody', 'content', 'application/json', 'schema');
        expect(errorsIn(pointer, body.example)).toEqual([]);
        expect(errorsIn(pointer, { surely: 'unknown' })).not.toEqual([]);
      }

      const codes = new Set<string>();
      for (const [status, response] of Object.entries(described.responses)) {
        expect(response.headers).toHaveProperty('cache-control');
        expect(Boolean(response.content)).toBe(status !== '204');
        for (const [type, media] of Object.entries(response.content ?? {})) {
          const pointer = pointerOf(...base, 'responses', status, 'content', type, 'schema');
          expect(errorsIn(pointer, {})).not.toEqual([]);
          if (media.example) expect(errorsIn(pointer, media.example)).toEqual([]);
          for (const [code, { value }] of Object.entries(media.examples ?? {})) {
            codes.add(code);
            expect(errorsIn(pointer, value)).toEqual([]);
            expect([value.type, String(value.status)]).toEqual([`urn:rekey:problem:${code}`, status]);
          }
        }
      }
      expect([...codes].sort()).toEqual(
        [...boundaryProblems(operation), ...operation.problems, 'too_many_requests', 'timeout'].sort(),
      );
      for (const code of [...boundaryProblems(operation), ...operation.problems])
        expect(described.responses).toHaveProperty(String(problems[code].status));
    },
  );

  it('has an example of every problem there is', () => {
    for (const code of Object.keys(problems)) expect(openApiText()).toContain(`urn:rekey:problem:${code}`);
  });

  it('has nothing that a scanner would take for a key', () => {
    expect(openApiText()).not.toMatch(/[a-z]{2,12}_(?:live|test)_[0-9A-Za-z]{8,}/);
  });
});
