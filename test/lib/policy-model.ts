import { runUnsafeSimulation } from '@cloud-copilot/iam-simulate';
import { type RouteScopes, requiredScopes } from '../../lib/routes.ts';
import { missingScopes } from '../../lib/scope.ts';

export const STAGE_ARN = 'arn:aws:execute-api:us-east-1:000000000000:a1b2c3d4e5/v1';

export interface Request {
  method: string;
  /** As sent, behind the stage: `/orders/1`. */
  path: string;
}

/** Private-use character for a `*` or `?` that was sent: the simulator would take it for a pattern. */
const LITERAL = '\u{E000}';

/** What IAM says, by an evaluator that knows nothing of this product. */
export function evaluate(policy: unknown, { method, path }: Request, now = '2026-11-24T00:00:00Z'): boolean {
  const resource = `${STAGE_ARN}/${method}${path}`.replace(/[*?]/g, LITERAL);
  const result = runUnsafeSimulation(
    {
      request: {
        principal: 'arn:aws:sts::000000000000:assumed-role/principal/session',
        action: 'execute-api:Invoke',
        resource: { resource, accountId: '000000000000' },
        contextVariables: { 'aws:CurrentTime': now },
      },
      identityPolicies: [{ name: 'policy', policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  return result === 'Allowed';
}

/** A declared path as a pattern of requests, written from API Gateway's documentation and not from the compiler. */
const patternOf = (declared: string): RegExp => {
  const parts = declared.split('/').map((part) => {
    if (part.endsWith('+}')) return '.*[^/].*';
    if (part.startsWith('{')) return '[^/]+';
    return part.replace(/[.]/g, '\\.');
  });
  return new RegExp(`^${parts.join('/')}$`, 's');
};

/** Text before `{id}` before `{path+}`, from the left. */
const weight = (declared: string) =>
  declared
    .split('/')
    .map((part) => (part.endsWith('+}') ? '2' : part.startsWith('{') ? '1' : '0'))
    .join('');

/**
 * The declared path that a request is routed to. The documentation leaves open whether `{path+}` is weighed where
 * it stands or after everything else, so there are two answers, mostly the same.
 */
function route(routes: RouteScopes, { method, path }: Request): (string | undefined)[] {
  const paths = Object.keys(routes)
    .filter((name) => name.startsWith('/', name.indexOf(' ') + 1))
    .filter((name) => name.startsWith(`${method} `) || name.startsWith('ANY '))
    .map((name) => name.slice(name.indexOf(' ') + 1));
  const found = [...new Set(paths)]
    .filter((declared) => patternOf(declared).test(path))
    .sort((a, b) => (weight(a) < weight(b) ? -1 : 1));
  const rest = Object.hasOwn(routes, '$default') ? '$default' : undefined;
  return [found[0] ?? rest, found.find((declared) => !declared.endsWith('+}')) ?? found[0] ?? rest];
}

export type Truth = 'allowed' | 'refused' | 'not asked';

/** What a fresh decision about a request would be. `not asked`: there is no such route, or it is public. */
export function truthsOf(routes: RouteScopes, scopes: readonly string[], request: Request): Truth[] {
  const decide = (path: string): Truth[] =>
    route(routes, { ...request, path }).map((declared) => {
      if (declared === undefined) return 'not asked';
      const required =
        declared === '$default' ? routes[declared] : requiredScopes(routes, request.method, declared);
      if (!required || required.length === 0) return 'not asked';
      return missingScopes(scopes, required).length === 0 ? 'allowed' : 'refused';
    });
  const { path } = request;
  const once = path.length > 1 ? path.replace(/\/$/, '') : path;
  if (!path.endsWith('//')) return decide(once);
  // Nothing says whether API Gateway ignores more than one slash at the end. So the policy need not allow it; but
  // what is refused either way must be.
  const routed = route(routes, { ...request, path: once }).some((declared) => declared !== undefined);
  return decide(routed ? once : path.replace(/\/+$/, '') || '/').map((truth) =>
    truth === 'refused' ? truth : 'not asked',
  );
}
