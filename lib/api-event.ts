import type { Api } from './api.schema.ts';
import type { ApiChange } from './api-registration.ts';
import { summaryOf } from './catalog.ts';
import type { Change, Event, EventType } from './event.schema.ts';
import { changesBetween, newEventId, type Origin } from './event.ts';

/** An event must stay small enough for the bus; whoever wants to know the rest reads the API. */
const MOST_CHANGES = 50;

/** Route by route and scope by scope: `routes/GET /orders`. */
const changesOf = (before: Api, after: Api): Change[] => {
  const parts = (['routes', 'scopes'] as const).flatMap((part) => {
    const names = { ...before[part], ...after[part] };
    const whole = (of: Api) =>
      Object.fromEntries(Object.keys(names).map((name) => [name, of[part][name] ?? null]));
    return changesBetween(whole(before), whole(after)).map(({ field, ...values }) => ({
      field: `${part}/${field}`,
      ...values,
    }));
  });
  const { stages: was } = before;
  const { stages } = after;
  return [...changesBetween({ stages: was }, { stages }), ...parts].slice(0, MOST_CHANGES);
};

/** The event of a change of a registration. */
export function apiEvent({ before, after }: ApiChange, { now, ...cause }: Origin): Event {
  const api = after ?? before;
  if (!api) throw new Error('an event of an API needs the API');
  const type: Extract<EventType, `api.${string}`> = !after
    ? 'api.deleted'
    : before
      ? 'api.updated'
      : 'api.registered';
  return {
    id: newEventId(now),
    type,
    occurred_at: new Date(now).toISOString(),
    owner_id: api.owner_id,
    api_key_id: null,
    webhook_endpoint_id: null,
    api_id: api.id,
    ...cause,
    reason: null,
    changes: before && after ? changesOf(before, after) : [],
    data: { api: summaryOf(api) },
  };
}
