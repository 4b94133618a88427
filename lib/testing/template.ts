import { type RouteScopes, validateRoutes } from '../routes.ts';

interface Template {
  Resources?: Record<string, { Type: string; Properties?: { Routes?: unknown } }>;
}

/**
 * The routes that a CloudFormation template registers: of `Template.fromStack(stack).toJSON()`, or of a file of cdk.out.
 *
 * @throws Error when it registers those of no API, or of several that declare the same route in different ways
 */
export function routesIn(template: object): RouteScopes {
  const registrations = Object.values((template as Template).Resources ?? {}).filter(
    ({ Type }) => Type === 'Custom::RekeyRoutes',
  );
  if (registrations.length === 0) throw new Error('The template registers no routes (Custom::RekeyRoutes)');
  const routes: RouteScopes = {};
  for (const { Properties } of registrations) {
    for (const [route, needed] of Object.entries(validateRoutes(JSON.parse(String(Properties?.Routes))))) {
      if (JSON.stringify(routes[route] ?? needed) !== JSON.stringify(needed))
        throw new Error(`${route} is declared by two APIs of the template, and not alike`);
      routes[route] = needed;
    }
  }
  return routes;
}
