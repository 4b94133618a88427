/** What product teams import as `rekey/cdk`. docs/attach.md shows each use. */
export { ProtectedHttpApi } from './protected-http-api.ts';
export { ProtectedRestApi } from './protected-rest-api.ts';
export { ProtectedSpecRestApi, type ProtectedSpecRestApiProps } from './protected-spec-rest-api.ts';
export { ProtectedWebSocketApi } from './protected-web-socket-api.ts';
export type { CachingProps, ProtectedApiProps } from './protection.ts';
export { importRekey, lookUpRekey, type RekeyReference } from './rekey-reference.ts';
export { RotatingApiKey, type RotatingApiKeyProps } from './rotating-api-key.ts';
export type { RouteAccess, RouteOptions } from './route-access.ts';
