import { z } from 'zod';
import { Instant } from './api-key.schema.ts';
import { PlainLine } from './key-fields.schema.ts';
import { type RouteScopes, routeProblems } from './routes.ts';
import { isRequirement } from './scope.ts';
import { StageDeclaration } from './stage.schema.ts';

const MOST_DESCRIBED = 500;
const LONGEST_DESCRIPTION = 200;
const MOST_STAGES = 10;

/** What API Gateway gives an API; for a service that stands elsewhere, a name of the same form. */
export const ApiId = z
  .string()
  .regex(/^[a-z0-9]{1,32}$/, 'must have 1 to 32 lower-case letters and digits')
  .meta({ description: 'The id of the API in API Gateway.' });

export const Routes = z
  .record(z.string(), z.unknown(), 'must be an object of routes and their scopes')
  .superRefine((routes, context) => {
    for (const { path, detail } of routeProblems(routes))
      context.addIssue({ code: 'custom', path, message: detail });
  })
  .transform((routes) => routes as RouteScopes)
  .meta({
    description:
      'Each route and the scopes it needs, all of them. A list of lists has alternatives; an empty list is a public route.',
    example: { 'GET /things': ['things:read'], 'POST /things/{id}': ['things:write'] },
    override: ({ jsonSchema }: { jsonSchema: Record<string, unknown> }) => {
      const scopes = { type: 'array', items: { type: 'string' } };
      jsonSchema.type = 'object';
      jsonSchema.additionalProperties = { anyOf: [scopes, { type: 'array', items: scopes }] };
    },
  });

export const ScopeDescriptions = z
  .record(
    z.string().refine(isRequirement, 'must be a scope like reports:export, without a wildcard'),
    z
      .string('must be a string')
      .min(1, 'must have at least 1 character')
      .max(LONGEST_DESCRIPTION, `must have at most ${LONGEST_DESCRIPTION} characters`)
      .regex(PlainLine.pattern, PlainLine.message),
    'must be an object of scopes and their descriptions',
  )
  .refine((scopes) => Object.keys(scopes).length <= MOST_DESCRIBED, {
    message: `must have at most ${MOST_DESCRIBED} scopes`,
  })
  .meta({
    description:
      'What scopes mean, for people. A scope that no route needs is known by standing here: one that is asked for elsewhere.',
    example: { 'reports:export': 'Export reports as files' },
  });

export const StageOfApi = z.strictObject({
  name: z
    .string('must be a string')
    .regex(/^(?:\$default|[A-Za-z0-9_-]{1,128})$/, 'must be the name of a stage'),
  cache_header: z
    .string('must be a string')
    .regex(/^[a-z0-9-]{1,64}$/, 'must be the name of a header in lower case')
    .nullable()
    .default(null)
    .meta({
      description:
        'The one header by which API Gateway keeps answers of the authorizer; null: it keeps none.',
    }),
  kind: StageDeclaration.shape.kind
    .default('rest')
    .meta({ description: 'The kind of API, by which what it keeps is flushed when a key is revoked.' }),
  flush_role_arn: StageDeclaration.shape.role_arn.meta({
    description:
      'Of an API in another account: the role by which what it keeps may be flushed. null: it is in the account of this stack.',
  }),
});
export type StageOfApi = z.infer<typeof StageOfApi>;

export const Stages = z
  .array(StageOfApi, 'must be a list of stages')
  .max(MOST_STAGES, `must have at most ${MOST_STAGES} stages`)
  .refine(
    (stages) => new Set(stages.map(({ name }) => name)).size === stages.length,
    'must have each name once',
  )
  .meta({ description: 'The stages through which it is called.' });

/** What somebody registers; the rest follows. */
export const Declaration = z.object({ routes: Routes, scopes: ScopeDescriptions, stages: Stages });
export type Declaration = z.infer<typeof Declaration>;

/** One registered API, as it lies in the partition `catalog` of the table; `id` and `routes_hash` of a stack are its sort key. */
export const Api = Declaration.extend({
  id: ApiId,
  owner_id: z
    .string()
    .meta({ description: 'Who may change it; for CloudFormation `stack:`, its account and name.' }),
  source: z.enum(['request', 'stack']).meta({
    description:
      '`request`: registered by PUT. `stack`: by a stack of CloudFormation, and changed only there.',
  }),
  routes_hash: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .meta({ description: 'The same for the same routes, in whatever order.' }),
  version: z.int().min(1).meta({ description: 'Counts the changes.' }),
  created_at: Instant,
  created_by: z.string(),
  updated_at: Instant,
  updated_by: z.string(),
}).meta({ id: 'Api' });
export type Api = z.infer<typeof Api>;

/** An API in a list and in events: without what can be long. */
export const ApiSummary = Api.omit({ routes: true, scopes: true })
  .extend({ route_count: z.int(), scope_count: z.int() })
  .meta({ id: 'ApiSummary' });
export type ApiSummary = z.infer<typeof ApiSummary>;
