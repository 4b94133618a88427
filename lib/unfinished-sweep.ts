import { PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { type EventBus, environmentBus } from './event-bus.ts';

/** What the bus carries to start the next sweep at once. Not of the source that other teams' rules are about. */
export const UNFINISHED_SWEEP = { source: 'rekey.system', detailType: 'sweep.unfinished' } as const;

/**
 * Asks for the next sweep at once.
 *
 * @throws Error when the bus does not take it; Lambda then starts this sweep again, which goes on just as well
 */
export async function continueSweep(bus: EventBus = environmentBus()): Promise<void> {
  const { source, detailType } = UNFINISHED_SWEEP;
  const { FailedEntryCount, Entries = [] } = await bus.client.send(
    new PutEventsCommand({
      Entries: [{ EventBusName: bus.name, Source: source, DetailType: detailType, Detail: '{}' }],
    }),
  );
  if (FailedEntryCount !== 0)
    throw new Error(`the bus did not take ${detailType}: ${Entries[0]?.ErrorCode ?? 'it did not say why'}`);
}
