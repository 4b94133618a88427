import type { KeyTable } from '../../lib/table-client.ts';

/** Capacity units by operation (`Query`), as the answers say them. */
export type Consumed = Record<string, number>;

interface Capacity {
  CapacityUnits?: number;
}

/** Asks for the consumed capacity with every request through this table, and adds it up until it is asked. */
export function countConsumed(table: KeyTable): () => Consumed {
  let consumed: Consumed = {};
  table.client.middlewareStack.add(
    (next, context) => async (args) => {
      Object.assign(args.input, { ReturnConsumedCapacity: 'TOTAL' });
      const result = await next(args);
      const { ConsumedCapacity } = result.output as { ConsumedCapacity?: Capacity | Capacity[] };
      const operation = String(context.commandName).replace(/Command$/, '');
      for (const { CapacityUnits = 0 } of [ConsumedCapacity ?? []].flat())
        consumed[operation] = (consumed[operation] ?? 0) + CapacityUnits;
      return result;
    },
    { step: 'initialize', name: 'countConsumed' },
  );
  return () => {
    const until = consumed;
    consumed = {};
    return until;
  };
}
