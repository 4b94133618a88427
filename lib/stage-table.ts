import { PutCommand, UpdateCommand } from '@aws-sdk/lib-dynamodb';
import { type StageDeclaration, StageRecord } from './stage.schema.ts';
import { decideStage, type Stage, stagesOf } from './stage.ts';
import { environmentTable, type KeyTable, names, queryAll, readItem, send } from './table-client.ts';

/** The partition of all stages: one read has them. */
const STAGES = 'stages';
/** Every revocation reads them all, and tells of each. */
const MOST_STAGES = 500;
/** Seconds that a stage still counts after it was given up: what was answered before may be kept an hour. */
const AFTERLIFE = 24 * 60 * 60;

/** A stage by its API and name, and by whose word: the hash of a stack's routes, or `request`. */
const placeOf = ({ api_id, stage }: Pick<StageRecord, 'api_id' | 'stage'>, registration: string) => ({
  pk: STAGES,
  sk: `${api_id}/${stage}/${registration}`,
});

/** Every stage that is registered, read consistently. @param now epoch milliseconds */
export async function readStages(now: number, table: KeyTable = environmentTable()): Promise<Stage[]> {
  return stagesOf(
    (await storedStages(now, table)).map(({ record }) => record),
    now,
  );
}

async function storedStages(
  now: number,
  table: KeyTable,
): Promise<{ registration: string; record: StageRecord }[]> {
  const stored: { registration: string; record: StageRecord }[] = [];
  const items = queryAll(table, {
    KeyConditionExpression: '#pk = :stages',
    // Of what was given up DynamoDB lets go days later.
    FilterExpression: 'attribute_not_exists(#ttl) OR #ttl > :now',
    ExpressionAttributeNames: names('pk', 'ttl'),
    ExpressionAttributeValues: { ':stages': STAGES, ':now': Math.floor(now / 1000) },
    ConsistentRead: true,
  });
  for await (const item of items)
    stored.push({ registration: String(item['sk']).split('/')[2] ?? '', record: StageRecord.parse(item) });
  return stored;
}

/**
 * Registers a stage, or what is new of it. Whoever registers it has to do so before it keeps an answer.
 *
 * @param registration by whose word: what is given up by the same one
 * @param now epoch milliseconds
 * @throws Error when there are too many
 */
export async function putStage(
  declared: StageDeclaration,
  registration: string,
  now: number,
  table: KeyTable = environmentTable(),
): Promise<void> {
  const place = placeOf(declared, registration);
  const item = await readItem(table, place);
  const stages = item === undefined ? await readStages(now, table) : [];
  if (stages.length >= MOST_STAGES)
    throw new Error(`There are ${MOST_STAGES} stages registered already, and no more can be flushed in time`);
  const record = decideStage(item && StageRecord.parse(item), declared, now);
  // A whole item: one that was given up is wanted again.
  await send(table, new PutCommand({ TableName: table.tableName, Item: { ...place, ...record } }));
}

/** Gives up what one registration said of an API's stages: it goes a day later. */
export async function giveUpStages(
  apiId: string,
  registration: string,
  now: number,
  table: KeyTable = environmentTable(),
  still: readonly string[] = [],
): Promise<void> {
  const stored = await storedStages(now, table);
  const own = stored.filter(
    ({ record, registration: by }) =>
      record.api_id === apiId && by === registration && !still.includes(record.stage),
  );
  for (const { record } of own) {
    await send(
      table,
      new UpdateCommand({
        TableName: table.tableName,
        Key: placeOf(record, registration),
        UpdateExpression: 'SET #ttl = :ttl',
        ConditionExpression: 'attribute_exists(#pk)',
        ExpressionAttributeNames: names('ttl', 'pk'),
        ExpressionAttributeValues: { ':ttl': Math.floor(now / 1000) + AFTERLIFE },
      }),
    );
  }
}
