import { DeleteCommand } from '@aws-sdk/lib-dynamodb';
import { Deployment } from './deployed-key.ts';
import { ConditionFailed, environmentTable, type KeyTable, names, readItem, send } from './table-client.ts';
import { SORT_KEY } from './table-layout.ts';

const placeOf = (id: string) => ({ pk: id, sk: SORT_KEY.deployment });

/** The line of keys that a resource stands for, read consistently. @param id from `deploymentId` */
export async function getDeployment(
  id: string,
  table: KeyTable = environmentTable(),
): Promise<Deployment | undefined> {
  const item = await readItem(table, placeOf(id));
  return item && Deployment.parse(item);
}

/** A resource's claim to its one line of keys. */
export interface DeploymentClaim {
  deployment_id: string;
  deployment: Omit<Deployment, 'root_key_id'>;
  /** The first key of the line before it, which has come to its end; undefined: there was none. */
  instead_of: string | undefined;
}

/** The transaction's part that makes a new key the first of the resource's line: it fails when another one is. */
export function beginningLine(
  { deployment_id, deployment, instead_of }: DeploymentClaim,
  root_key_id: string,
  table: KeyTable,
) {
  return {
    Put: {
      TableName: table.tableName,
      Item: { ...placeOf(deployment_id), ...deployment, root_key_id },
      ...(instead_of === undefined
        ? { ConditionExpression: 'attribute_not_exists(#pk)', ExpressionAttributeNames: names('pk') }
        : {
            ConditionExpression: '#root_key_id = :before',
            ExpressionAttributeNames: names('root_key_id'),
            ExpressionAttributeValues: { ':before': instead_of },
          }),
    },
  };
}

/** Forgets a resource, unless it stands for another line by now. */
export async function forgetDeployment(
  id: string,
  { root_key_id }: Deployment,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const command = new DeleteCommand({
    TableName: table.tableName,
    Key: placeOf(id),
    ConditionExpression: 'attribute_not_exists(#pk) OR #root_key_id = :root',
    ExpressionAttributeNames: names('pk', 'root_key_id'),
    ExpressionAttributeValues: { ':root': root_key_id },
  });
  if ((await send(table, command)) instanceof ConditionFailed)
    throw new Error('the resource has got another key meanwhile');
}
