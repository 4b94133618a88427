/** What product teams import as `rekey/openapi`. docs/openapi-apis.md shows its use. */
export {
  type OpenApiDocument,
  type ProtectedOpenApi,
  type ProtectOptions,
  protectOpenApi,
} from './protect.ts';
