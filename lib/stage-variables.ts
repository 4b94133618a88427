/** The stage's variable that names its table of routes by its hash (docs/decisions/0001-route-tables-by-hash.md). */
export const ROUTES_VARIABLE = 'rekeyRoutes';

/**
 * The stage's variable that says whose registration of the API counts, where no table is named
 * (docs/decisions/0005-a-stage-names-whose-registration-counts.md).
 */
export const OWNER_VARIABLE = 'rekeyOwner';

/** The stage's variable that says by which header API Gateway keeps answers; without it, it keeps none. */
export const CACHE_HEADER_VARIABLE = 'rekeyCacheHeader';

/** The headers that a key may come in. */
export const cacheHeaders = ['x-api-key', 'authorization'] as const;
export type CacheHeader = (typeof cacheHeaders)[number];
