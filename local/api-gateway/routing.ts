/** A resource of the API that has methods: its path as in the template, split at the slashes. */
export interface ResourcePath {
  segments: readonly string[];
}

const isGreedy = (segment: string) => /^\{.+\+\}$/.test(segment);
const isParameter = (segment: string) => segment.startsWith('{') && segment.endsWith('}');

/** 0: the exact text, 1: `{id}`, 2: `{proxy+}`. API Gateway prefers the lower, from the left. */
const rank = (segment: string) => (isGreedy(segment) ? 2 : isParameter(segment) ? 1 : 0);

function parametersOf(resource: ResourcePath, path: readonly string[]): Record<string, string> | undefined {
  const entries: [string, string][] = [];
  for (const [index, segment] of resource.segments.entries()) {
    const value = path[index];
    if (value === undefined) return undefined;
    if (isGreedy(segment)) {
      return Object.fromEntries([...entries, [segment.slice(1, -2), path.slice(index).join('/')]]);
    }
    if (isParameter(segment)) {
      // No value, no match: `/orders//refund` is not an order without a name.
      if (value === '') return undefined;
      entries.push([segment.slice(1, -1), value]);
    } else if (segment !== value) return undefined;
  }
  return path.length === resource.segments.length ? Object.fromEntries(entries) : undefined;
}

const before = (a: readonly string[], b: readonly string[]): number => {
  for (let index = 0; index < Math.min(a.length, b.length); index++) {
    const difference = rank(a[index]!) - rank(b[index]!);
    if (difference !== 0) return difference;
  }
  return b.length - a.length;
};

/**
 * The resource that API Gateway picks for a path, and its path parameters.
 *
 * The path is matched as it was sent: `%2F` is no slash and `%6Frders` is not `orders`. A slash at the end is
 * ignored, a double one inside is an empty segment that only `{proxy+}` takes (LocalStack's recordings of AWS,
 * test_lambda_aws_proxy_integration). The resource is chosen before the method is looked at. A general router
 * is not used: each one known decodes, folds case or redirects in its own way, and how API Gateway matches is
 * the very thing to be shown here.
 */
export function matchResource<Resource extends ResourcePath>(
  resources: readonly Resource[],
  path: string,
): { resource: Resource; pathParameters: Record<string, string> } | undefined {
  const trimmed = path.replace(/^\/+/, '').replace(/\/+$/, '');
  const segments = trimmed === '' ? [] : trimmed.split('/');
  let best: { resource: Resource; pathParameters: Record<string, string> } | undefined;
  for (const resource of resources) {
    const pathParameters = parametersOf(resource, segments);
    if (pathParameters && (!best || before(resource.segments, best.resource.segments) < 0)) {
      best = { resource, pathParameters };
    }
  }
  return best;
}
