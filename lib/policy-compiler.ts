import type { PolicyDocument, Statement } from 'aws-lambda';
import type { RouteScopes } from './routes.ts';
import { isAnyOf, missingScopes, type Wanted } from './scope.ts';

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html */
const LONGEST_RESOURCE = 512;
/** Bytes. Nothing is documented for REST and HTTP APIs (docs/policies.md); this is ours, some 1,000 resources. */
const LARGEST_POLICY = 100_000;
/** The longest a stage's ARN gets with a stage of 64 characters: for what is checked before the stage is known. */
const LONGEST_STAGE_ARN = 132;

const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/** Two routes that no cached policy can tell apart, or one whose resources API Gateway does not take. */
export interface PolicyClash {
  code: 'routes_clash' | 'resource_too_long' | 'policy_too_large';
  /** As declared. */
  routes: string[];
  /** A sentence that names them. */
  message: string;
}

export type CompiledPolicy =
  | { policyDocument: PolicyDocument; clashes?: never }
  | { policyDocument?: never; clashes: PolicyClash[] };

/**
 * A part of a path between two slashes, in a resource of IAM or in a declared path.
 *
 * ONE and MANY are `{id}` and `{path+}`. In a resource both are SOME (`?*`, one character or more), because there
 * is nothing in IAM that stops at a slash; ANY is `*`, which also matches nothing.
 */
type Part = string;
const ONE = '{}';
const MANY = '{+}';
/** `$default` of an HTTP API, which takes the root as well. */
const REST = '{*}';
const SOME = '?*';
const ANY = '*';
const EMPTY = '';
/** Stands for any text that no route declares. No declared part has a space in it. */
const OTHER = ' ';

const isStar = (part: Part | undefined) => part === SOME || part === ANY;
const isFree = (part: Part | undefined) => part === ONE || part === MANY || part === REST;
const asResource = (part: Part) => (part === ONE || part === MANY ? SOME : part === REST ? ANY : part);

interface Route {
  /** As declared: `ANY /orders/{id}`. */
  name: string;
  path: Part[];
  required: Wanted;
  /** Its place among the routes of its layer. */
  index: number;
}

/** What a key must hold for a route, in each way that there is. */
const alternativesOf = (required: Wanted): readonly (readonly string[])[] =>
  isAnyOf(required) ? required : [required as readonly string[]];

/** Whether every key that holds one of these also holds what is wanted. */
const implies = (held: Wanted, wanted: Wanted): boolean =>
  alternativesOf(held).every((scopes) => missingScopes(scopes, wanted).length === 0);

/** What has to be refused explicitly, once `over` is allowed and `route` is not. */
interface Overlap {
  route: number;
  /** Ways to write the Deny, the widest first; each with the routes that it would refuse as well. */
  ways: { resources: Part[][]; refuses: number[] }[];
}

/** A resource that the Allow of a route matches beyond the route, and that nothing declared lies in. */
interface Guard {
  resource: Part[];
  refuses: number[];
}

/** What the methods of a layer are allowed and refused. */
interface Share {
  methods: string[];
  allow: Part[][];
  deny: Part[][];
}

/** All methods for which the same routes are declared, with what can be known before the scopes are. */
interface Layer {
  methods: string[];
  routes: Route[];
  allows: Part[][][];
  overlaps: Overlap[][];
  guards: Guard[][];
  /** Routes whose Allow matches everything that this one's does. */
  coveredBy: number[][];
}

const partsOf = (path: string): Part[] =>
  path === '/'
    ? [EMPTY]
    : path
        .slice(1)
        .split('/')
        .map((part) => (part.endsWith('+}') ? MANY : part.startsWith('{') ? ONE : part));

const isMany = (path: readonly Part[]) => path.at(-1) === MANY || path.at(-1) === REST;

/** From the left, API Gateway prefers text to `{id}`, that to `{path+}`, and everything to `$default`. */
const rank = (part: Part) => [ONE, MANY, REST].indexOf(part) + 1;

const byRank = (a: Route, b: Route): number => {
  for (let i = 0; i < Math.min(a.path.length, b.path.length); i++) {
    const difference = rank(a.path[i] as Part) - rank(b.path[i] as Part);
    if (difference !== 0) return difference;
  }
  return b.path.length - a.path.length;
};

const matches = (path: readonly Part[], request: readonly string[]): boolean => {
  for (const [index, part] of path.entries()) {
    const text = request[index];
    if (text === undefined) return false;
    if (part === REST) return true;
    if (part === MANY) return request.slice(index).some((rest) => rest !== EMPTY);
    if (part === ONE ? text === EMPTY : part !== text) return false;
  }
  return request.length === path.length;
};

/** One slash at the end is not part of the path. */
const trimmed = (request: readonly string[]) =>
  request.length > 1 && request.at(-1) === EMPTY ? request.slice(0, -1) : request;

/**
 * Groups by the first part, which is how most of a table is told apart.
 *
 * @returns the members that a path or resource starting with this part may have to do with, in their order
 */
const byFirstPart = <Member>(members: readonly Member[], pathOf: (member: Member) => readonly Part[]) => {
  const groups = new Map<Part, Member[]>();
  return (part: Part | undefined): readonly Member[] => {
    if (part === undefined || isStar(part) || isFree(part)) return members;
    const known = groups.get(part);
    if (known) return known;
    const near = members.filter((member) => {
      const [first] = pathOf(member);
      return first === part || isStar(first) || isFree(first);
    });
    groups.set(part, near);
    return near;
  };
};

const indexes = new WeakMap<readonly Route[], (part: Part | undefined) => readonly Route[]>();

/** The routes that may have to do with a path or resource that starts with this part. */
const near = (routes: readonly Route[], part: Part | undefined): readonly Route[] => {
  const index = indexes.get(routes) ?? byFirstPart(routes, ({ path }) => path);
  indexes.set(routes, index);
  return index(part);
};

/**
 * Which of the routes may be the one that API Gateway picks. What is not documented is both: whether `{path+}` is
 * weighed where it stands or only when nothing else matches.
 */
const winners = (routes: readonly Route[], request: readonly string[]): Route[] => {
  const found = near(routes, request[0]).filter(({ path }) => matches(path, request));
  const first = found[0];
  if (found.length < 2 || !first) return found;
  const plain = found.find(({ path }) => !isMany(path)) ?? first;
  return plain === first ? [first] : [first, plain];
};

/** The routes that a request is decided by. Whether more than one slash at the end counts is not documented. */
const decidedBy = (routes: readonly Route[], request: readonly string[]): Route[] => {
  const sure = winners(routes, trimmed(request));
  if (sure.length > 0 || request.at(-1) !== EMPTY || request.at(-2) !== EMPTY) return sure;
  let end = request.length;
  while (end > 1 && request[end - 1] === EMPTY) end--;
  return winners(routes, request.slice(0, end));
};

/** How many parts more than declared are tried for `{path+}` and for a `*`: enough to pass any other route. */
const reach = (a: readonly Part[], b: readonly Part[]) => Math.max(a.length, b.length) + 1;

/** The requests for a path, as parts of which ONE and MANY are still free, up to a length. */
const shapesOf = (path: readonly Part[], longest: number): Part[][] => {
  if (path.at(-1) === EMPTY) return [[...path]];
  if (!isMany(path)) return [[...path], [...path, EMPTY], [...path, EMPTY, EMPTY]];
  const before = path.slice(0, -1);
  return Array.from({ length: longest + 2 - path.length }, (_, more) => [
    ...before,
    ...Array<Part>(more + 1).fill(MANY),
  ]);
};

/** The requests of a shape that a resource matches, as shapes with less freedom. */
const narrowed = (resource: readonly Part[], shape: readonly Part[]): Part[][] => {
  const [part, ...rest] = resource;
  if (part === undefined) return shape.length === 0 ? [[]] : [];
  if (shape.length === 0) return [];
  if (!isStar(part)) {
    const [text, ...after] = shape as [Part, ...Part[]];
    // A free part takes the text; `{id}` is never empty.
    const taken = text === part || text === MANY || (text === ONE && part !== EMPTY);
    return taken ? narrowed(rest, after).map((tail) => [part, ...tail]) : [];
  }
  const found: Part[][] = [];
  for (let length = 1; length <= shape.length - rest.length; length++) {
    const taken = shape.slice(0, length);
    if (part === SOME && length === 1 && taken[0] === EMPTY) continue;
    // `?*` over one free part leaves it free, but not empty.
    const kept = part === SOME && length === 1 && taken[0] === MANY ? [ONE] : taken;
    for (const tail of narrowed(rest, shape.slice(length))) found.push([...kept, ...tail]);
  }
  return found;
};

/** The shape, and those of it that have nothing in parts of a `{path+}`, where no `{id}` takes them. */
const variantsOf = (shape: readonly Part[]): Part[][] => [
  [...shape],
  ...shape.flatMap((part, index) => {
    if (part !== MANY) return [];
    const emptyFrom = shape.map((each, at) => (each === MANY && at >= index ? EMPTY : each));
    return [shape.with(index, EMPTY), emptyFrom];
  }),
];

/** The request that stands for all of a shape: of a text nobody declares, the fewest other routes take it. */
const exampleOf = (shape: readonly Part[]): string[] => shape.map((part) => (isFree(part) ? OTHER : part));

/** Whether two resources start with different text, which is how most pairs of routes are told apart. */
const apart = (a: readonly Part[], b: readonly Part[]): boolean => {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [one, other] = [a[i] as Part, b[i] as Part];
    if (isStar(one) || other === MANY || other === REST) return false;
    if (other === ONE) continue;
    if (one !== other) return true;
  }
  return false;
};

/** Shapes of requests that a resource matches and that may be decided by this route. */
const shared = (
  routes: readonly Route[],
  resource: readonly Part[],
  route: Route,
  decide: typeof winners,
): Part[][] => {
  if (apart(resource, route.path)) return [];
  return shapesOf(route.path, reach(resource, route.path))
    .flatMap((shape) => narrowed(resource, shape))
    .flatMap(variantsOf)
    .filter((shape) => decide(routes, exampleOf(shape)).includes(route));
};

/** Whether a resource matches whatever another one matches. Not found out in every case. */
const includes = (resource: readonly Part[], other: readonly Part[]): boolean => {
  const [part, ...rest] = resource;
  if (part === undefined) return other.length === 0;
  if (other.length === 0) return false;
  if (!isStar(part)) return part === other[0] && includes(rest, other.slice(1));
  if (part === SOME && (other[0] === ANY || other[0] === EMPTY) && other.length === rest.length + 1)
    return false;
  for (let length = 1; length <= other.length - rest.length; length++) {
    if (part === SOME && length === 1 && (other[0] === EMPTY || other[0] === ANY)) continue;
    if (includes(rest, other.slice(length))) return true;
  }
  return false;
};

/** The resources that match a path and, as API Gateway ignores it, a slash at its end. */
const resourcesOf = (path: readonly Part[]): Part[][] => {
  const resource = path.map(asResource);
  return isStar(resource.at(-1)) || resource.at(-1) === EMPTY ? [resource] : [resource, [...resource, EMPTY]];
};

/** Whether a request may match both. A star takes parts of the other resource, or some of its star. */
const meets = (a: readonly Part[], b: readonly Part[]): boolean => {
  const [one, ...restA] = a;
  const [other, ...restB] = b;
  if (one === undefined || other === undefined) return one === other;
  const ends = (star: Part, rest: readonly Part[], parts: readonly Part[]) =>
    parts.some(
      (part, index) => (index > 0 || star === ANY || part !== EMPTY) && meets(rest, parts.slice(index + 1)),
    );
  if (isStar(one) && ends(one, restA, b)) return true;
  if (isStar(other) && ends(other, restB, a)) return true;
  if (isStar(one) && isStar(other)) return meets(restA, b) || meets(a, restB);
  return one === other && meets(restA, restB);
};

const text = (resource: readonly Part[]) => resource.join('/');

const unique = (resources: readonly Part[][]): Part[][] => [
  ...new Map(resources.map((resource) => [text(resource), resource])).values(),
];

/** The routes that a Deny of this resource would refuse, some of their requests at least. */
const refusedBy = (routes: readonly Route[], resource: readonly Part[]): number[] =>
  near(routes, resource[0]).flatMap((route) =>
    route.required.length > 0 && shared(routes, resource, route, certainly).length > 0 ? [route.index] : [],
  );

const waysToRefuse = (
  routes: readonly Route[],
  over: readonly Part[][],
  { path }: Route,
  met: Part[][],
): Overlap['ways'] => {
  const wide = path.map((part) => (asResource(part) === part ? part : ANY));
  const exact = path.map(asResource);
  const open = isStar(exact.at(-1)) || exact.at(-1) === EMPTY;
  const candidates = open
    ? [[wide], [exact]]
    : [
        [wide, [...wide, ANY]],
        [exact, [...exact, EMPTY], [...exact, EMPTY, ANY]],
        [exact, [...exact, EMPTY], [...exact, EMPTY, EMPTY]],
      ];
  // Only what both match: part of all the others, so that it decides about a clash.
  candidates.push(met.map((shape) => shape.map(asResource)));
  return candidates.map((resources) => {
    const needed = unique(resources).filter((resource) => over.some((allowed) => meets(resource, allowed)));
    return {
      resources: needed,
      refuses: [...new Set(needed.flatMap((resource) => refusedBy(routes, resource)))],
    };
  });
};

/** The routes that a request must be allowed by. Nobody counts on two slashes at the end. */
const certainly: typeof winners = (routes, request) =>
  request.at(-1) === EMPTY && request.at(-2) === EMPTY ? [] : winners(routes, trimmed(request));

const guardsOf = (routes: readonly Route[], route: Route): Guard[] =>
  route.path.flatMap((part, index) => {
    if (part !== ONE) return [];
    const [before, after] = [route.path.slice(0, index), route.path.slice(index + 1).map(asResource)];
    // A slash at the end is the route's own, so that behind it there must be something more.
    const doubled = [...before.map(asResource), ANY, after.length === 0 ? SOME : ANY, ...after];
    return (isStar(doubled.at(-1)) ? [doubled] : [doubled, [...doubled, EMPTY]]).map((resource) => ({
      resource,
      refuses: refusedBy(routes, resource),
    }));
  });

const layerOf = (methods: string[], routes: Route[]): Layer => {
  routes.sort(byRank);
  for (const [index, route] of routes.entries()) route.index = index;
  const allows = routes.map(({ path }) => resourcesOf(path));
  return {
    methods,
    routes,
    allows,
    overlaps: routes.map((route, index) => {
      if (route.required.length === 0) return [];
      const over = allows[index] as Part[][];
      return near(routes, over[0]?.[0]).flatMap((other): Overlap[] => {
        // Refused while this one is allowed? Not if it needs nothing that this one does not.
        if (implies(route.required, other.required)) return [];
        const met = over.flatMap((resource) => shared(routes, resource, other, decidedBy));
        return met.length === 0 ? [] : [{ route: other.index, ways: waysToRefuse(routes, over, other, met) }];
      });
    }),
    guards: routes.map((route) => (route.required.length === 0 ? [] : guardsOf(routes, route))),
    coveredBy: routes.map((_, index) =>
      near(routes, routes[index]?.path[0]).flatMap(({ index: at }) =>
        at !== index &&
        (allows[index] as Part[][]).every((mine) =>
          (allows[at] as Part[][]).some((theirs) => includes(theirs, mine)),
        )
          ? [at]
          : [],
      ),
    ),
  };
};

/** The routes by method. Methods for which the same routes are declared share a layer. */
const layersOf = (table: RouteScopes): Layer[] => {
  const declared = Object.entries(table).flatMap(([name, required]) => {
    const [method = '', path = '/'] = name === '$default' ? ['ANY', name] : name.split(' ');
    return [{ method, name, path: path === '$default' ? [REST] : partsOf(path), required }];
  });
  const layers = new Map<string, { methods: string[]; routes: Route[] }>();
  for (const method of METHODS) {
    const routes = new Map<string, Route>();
    for (const { method: own, name, path, required } of declared) {
      const place = text(path);
      // A method of its own goes before ANY.
      if (own === method || (own === 'ANY' && !routes.has(place)))
        routes.set(place, { name, path, required, index: 0 });
    }
    if (routes.size === 0) continue;
    const names = [...routes.values()].map(({ name }) => name).join('\n');
    const layer = layers.get(names) ?? { methods: [], routes: [...routes.values()] };
    layer.methods.push(method);
    layers.set(names, layer);
  }
  return [...layers.values()].map(({ methods, routes }) => layerOf(methods, routes));
};

/** Of each table the policies asked for last; one has 100 KB at most. */
const MOST_POLICIES = 100;
const policies = new WeakMap<RouteScopes, Map<string, CompiledPolicy>>();

const analyses = new WeakMap<RouteScopes, Layer[]>();

/** What is known about a table before the scopes are; kept as long as the table. */
const analysed = (table: RouteScopes): Layer[] => {
  const known = analyses.get(table) ?? layersOf(table);
  analyses.set(table, known);
  return known;
};

const CAN_NOT = "Answers of the authorizer can't be cached for this API";

const clashOf = (refused: Route, allowed: Route): PolicyClash => ({
  code: 'routes_clash',
  routes: [refused.name, allowed.name],
  message:
    `${CAN_NOT}: no IAM policy refuses ${refused.name} and allows ${allowed.name}, because a * of IAM crosses ` +
    'slashes. Give both the same scopes, change one of the paths, or do without caching.',
});

/** What API Gateway, or this product, does not take. */
const oversized = (resources: string[]): PolicyClash[] => {
  const long = resources.filter((resource) => resource.length > LONGEST_RESOURCE);
  const bytes = resources.reduce((sum, resource) => sum + resource.length + 3, 0);
  return [
    ...long.slice(0, 1).map((resource): PolicyClash => {
      const route = resource.split('/').slice(2).join('/').replace('/', ' /');
      return {
        code: 'resource_too_long',
        routes: [route],
        message: `${CAN_NOT}: ${route} makes a resource of ${resource.length} characters, and API Gateway takes ${LONGEST_RESOURCE}.`,
      };
    }),
    ...(bytes <= LARGEST_POLICY
      ? []
      : [
          {
            code: 'policy_too_large' as const,
            routes: [],
            message: `${CAN_NOT}: its routes make a policy of ${bytes} bytes, and ${LARGEST_POLICY} is the limit.`,
          },
        ]),
  ];
};

/** Each once, without those that another one includes; `x/` and `x/?*` are `x/*`. */
const joined = (resources: readonly Part[][]): Part[][] => {
  const all = unique(resources);
  const place = new Map(all.map((resource, index) => [resource, index]));
  const nearby = byFirstPart(all, (resource) => resource);
  const kept = all.filter(
    (one, index) =>
      !nearby(one[0]).some(
        (other) =>
          other !== one &&
          includes(other, one) &&
          ((place.get(other) as number) < index || !includes(one, other)),
      ),
  );
  const texts = new Set(kept.map(text));
  return kept.flatMap((resource) => {
    const beside = (last: Part) => texts.has(text([...resource.slice(0, -1), last]));
    if (resource.at(-1) === SOME && beside(EMPTY)) return [[...resource.slice(0, -1), ANY]];
    return resource.at(-1) === EMPTY && beside(SOME) ? [] : [resource];
  });
};

/**
 * The resources of all methods, from the method on. What all methods have in common is written once, where a star
 * for the method can't be taken for one of the parts behind it.
 */
const acrossMethods = (layers: readonly Layer[], shares: readonly Share[]) => {
  const counts = (side: 'allow' | 'deny') => {
    const found = new Map<string, { resource: Part[]; methods: string[] }>();
    for (const share of shares)
      for (const resource of share[side]) {
        const entry = found.get(text(resource)) ?? { resource, methods: [] };
        entry.methods.push(...share.methods);
        found.set(text(resource), entry);
      }
    return [...found.values()];
  };
  const alone = (resource: readonly Part[]) =>
    layers.every(({ routes }) =>
      routes.every((route) => shared(routes, [SOME, ...resource], route, decidedBy).length === 0),
    );
  const written = (side: 'allow' | 'deny') =>
    counts(side).map(({ resource, methods }) => {
      const whole = resource.length === 1 && isStar(resource[0]);
      const once = methods.length === METHODS.length && (whole || alone(resource));
      return { resource, methods: once ? [ANY] : methods, guarded: once && !whole };
    });
  const [allow, deny] = [written('allow'), written('deny')];
  const lines = (list: typeof allow) =>
    list.flatMap(({ resource, methods }) => methods.map((method) => text([method, ...resource])));
  // Nothing is declared there; what is not declared is refused.
  const guards = allow.flatMap(({ resource, guarded }) => (guarded ? [text([ANY, SOME, ...resource])] : []));
  return { allow: lines(allow), deny: [...lines(deny), ...guards] };
};

/** Whether scopes cover one that a route wants. A grant without a wildcard covers only itself. */
const holderOf = (scopes: readonly string[]) => {
  const own = new Set(scopes);
  const wild = scopes.filter((scope) => scope.includes('*'));
  const known = new Map<string, boolean>();
  return (scope: string): boolean => {
    const holds = known.get(scope) ?? (own.has(scope) || missingScopes(wild, [scope]).length === 0);
    known.set(scope, holds);
    return holds;
  };
};

/** The resources, from the method on, that a key with these scopes is allowed and refused. */
const resourcesFor = (table: RouteScopes, scopes: readonly string[]) => {
  const held = holderOf(scopes);
  const mayCall = (required: Wanted): boolean =>
    required.length > 0 && alternativesOf(required).some((all) => all.every(held));
  const clashes: PolicyClash[] = [];
  const layers = analysed(table);

  const shares = layers.map(({ methods, routes, allows, overlaps, guards, coveredBy }): Share => {
    const allowed = routes.map(({ required }) => mayCall(required));
    const refusesNone = ({ refuses }: { refuses: number[] }) => !refuses.some((index) => allowed[index]);
    const allow: Part[][] = [];
    const deny: Part[][] = [];
    routes.forEach((route, index) => {
      if (!allowed[index]) return;
      const covered = coveredBy[index]?.some(
        (at) => allowed[at] && (at < index || !coveredBy[at]?.includes(index)),
      );
      if (!covered) allow.push(...(allows[index] ?? []));
      for (const { route: at, ways } of overlaps[index] ?? []) {
        const other = routes[at] as Route;
        if (allowed[at] || other.required.length === 0) continue;
        const way = ways.find(refusesNone);
        if (way) deny.push(...way.resources);
        else {
          const victim = ways.at(-1)?.refuses.find((each) => allowed[each]);
          clashes.push(clashOf(other, (victim !== undefined && routes[victim]) || route));
        }
      }
      for (const guard of guards[index] ?? []) if (refusesNone(guard)) deny.push(guard.resource);
    });
    return { methods, allow: joined(allow), deny: joined(deny) };
  });

  const { allow, deny } = acrossMethods(layers, shares);
  if (mayCall(table['$connect'] ?? [])) allow.push('$connect');
  return { allow, deny, clashes };
};

/**
 * The policy that says the whole truth about a key on an API, so that API Gateway may reuse it for every route:
 * evaluated for any request that the API receives, it allows exactly what a fresh decision would.
 * docs/policies.md says how, and what it rests on.
 *
 * @param routes with their scopes; one that needs none is public, and never asked about
 * @param stageArn `arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1`
 * @param expiresAt ISO 8601. The Allow ends then, wherever it is kept.
 * @returns the policy, or the routes for which there is none
 */
export function compilePolicy(
  routes: RouteScopes,
  scopes: readonly string[],
  stageArn: string,
  expiresAt: string | null = null,
): CompiledPolicy {
  const kept = policies.get(routes) ?? new Map<string, CompiledPolicy>();
  policies.set(routes, kept);
  const name = [stageArn, expiresAt, ...scopes].join(' ');
  const policy = kept.get(name) ?? compile(routes, scopes, stageArn, expiresAt);
  kept.delete(name);
  kept.set(name, policy);
  if (kept.size > MOST_POLICIES) kept.delete(kept.keys().next().value as string);
  return policy;
}

const compile = (
  routes: RouteScopes,
  scopes: readonly string[],
  stageArn: string,
  expiresAt: string | null,
): CompiledPolicy => {
  const { allow, deny, clashes } = resourcesFor(routes, scopes);
  const at = (resources: string[]) => resources.map((resource) => `${stageArn}/${resource}`);
  const problems = [...clashes, ...oversized(at([...allow, ...deny]))];
  if (problems.length > 0) return { clashes: problems };

  const statement = (effect: 'Allow' | 'Deny', resources: string[]) => ({
    Effect: effect,
    Action: 'execute-api:Invoke',
    Resource: at(resources),
  });
  if (allow.length === 0)
    return { policyDocument: { Version: '2012-10-17', Statement: [statement('Deny', [ANY])] } };

  const until = expiresAt && { Condition: { DateLessThan: { 'aws:CurrentTime': wholeSecond(expiresAt) } } };
  const Statement: Statement[] = [{ ...statement('Allow', allow), ...until }];
  if (deny.length > 0) Statement.push(statement('Deny', deny));
  return { policyDocument: { Version: '2012-10-17', Statement } };
};

/** Rounded down, as IAM's examples of dates have no fraction. */
const wholeSecond = (instant: string) => `${instant.slice(0, 19)}Z`;

/**
 * Why answers for these routes can't be cached, whatever scopes a key has; empty: they can. For who attaches an
 * API with caching, at synth or by `PUT /apis/{id}`.
 *
 * @param stageArn unless it is known, one as long as they get
 */
export function findClashes(
  routes: RouteScopes,
  stageArn: string = ANY.repeat(LONGEST_STAGE_ARN),
): PolicyClash[] {
  const found = new Map<string, PolicyClash>();
  const resources = new Set<string>();
  for (const layer of analysed(routes)) {
    const possible = [
      layer.allows,
      layer.guards.map((guards) => guards.map(({ resource }) => resource)),
      layer.overlaps.map((overlaps) => overlaps.flatMap(({ ways }) => ways[0]?.resources ?? [])),
    ].flat(2);
    for (const method of layer.methods)
      for (const resource of possible) resources.add(text([stageArn, method, ...resource]));

    layer.overlaps.forEach((overlaps, index) => {
      for (const { route, ways } of overlaps)
        for (const victim of ways.at(-1)?.refuses ?? []) {
          const [over, refused, allowed] = [index, route, victim].map((at) => layer.routes[at] as Route) as [
            Route,
            Route,
            Route,
          ];
          // A key that may call these two and not the third.
          const held = alternativesOf(over.required).flatMap((one) =>
            alternativesOf(allowed.required).map((other) => [...one, ...other]),
          );
          if (implies(held, refused.required)) continue;
          const clash = clashOf(refused, allowed);
          found.set(clash.message, clash);
        }
    });
  }
  return [...found.values(), ...oversized([...resources])];
}
