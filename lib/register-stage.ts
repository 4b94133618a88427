import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import type { StageOfApi } from './api.schema.ts';
import { LONGEST_CACHE_SECONDS, StageDeclaration } from './stage.schema.ts';
import { giveUpStages, putStage } from './stage-table.ts';
import { environmentTable, type KeyTable } from './table-client.ts';

/** Of the routes that the stage is registered with, and given up with: lib/route-table.ts. */
const PHYSICAL_ID = /^routes_([a-z0-9]{1,32})\/([0-9a-f]{64})$/;

/**
 * Keeps what a `Custom::RekeyRoutes` says of its API's stage, in the property `Stage`: a `StageDeclaration` as JSON
 * text, since CloudFormation makes text of every number. A resource of earlier versions has none.
 *
 * @param physicalId that of the routes
 * @param now epoch milliseconds
 * @throws Error for the person who deploys to read
 */
export async function registerStage(
  event: CloudFormationCustomResourceEvent,
  physicalId: string,
  now: number,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const [, apiId, hash] = PHYSICAL_ID.exec(physicalId) ?? [];
  if (apiId === undefined || hash === undefined) return;
  if (event.RequestType === 'Delete') {
    await giveUpStages(apiId, hash, now, table);
    return;
  }
  const { Stage: text } = event.ResourceProperties;
  if (text === undefined) return;
  const { data, error } = StageDeclaration.safeParse(JSON.parse(String(text)));
  if (error)
    throw new Error(
      `Stage is not valid: ${error.issues.map(({ path, message }) => `${path.join('.')} ${message}`).join('; ')}`,
    );
  if (data.api_id !== apiId) throw new Error('Stage must be of the API that RestApiId names');
  await putStage(data, hash, now, table);
}

/** Where a stage is that a request registers: one that names no role is in the account of the product. */
export const accountOf = ({ flush_role_arn }: StageOfApi, home: { account: string }): string =>
  flush_role_arn?.split(':')[4] ?? home.account;

/** By whose word stages are there that were registered by a request. */
export const REQUESTED = 'request';

/**
 * Keeps what a request says of its API's stages, in place of what was said before. How long a stage keeps answers it does
 * not say, so the longest is taken: it is flushed all the same.
 *
 * @param home of the stack, where an API is whose stage names no role
 * @param now epoch milliseconds
 */
export async function registerStages(
  apiId: string,
  stages: readonly StageOfApi[],
  home: { account: string; region: string },
  now: number,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const declared = stages.map((stage) => ({
    api_id: apiId,
    stage: stage.name,
    kind: stage.kind,
    account: accountOf(stage, home),
    region: home.region,
    cache_ttl_seconds: stage.cache_header === null || stage.kind === 'websocket' ? 0 : LONGEST_CACHE_SECONDS,
    role_arn: stage.flush_role_arn,
  }));
  for (const stage of declared) await putStage(stage, REQUESTED, now, table);
  await giveUpStages(
    apiId,
    REQUESTED,
    now,
    table,
    stages.map(({ name }) => name),
  );
}
