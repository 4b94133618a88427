import { DAY, type State, type Step } from './model.ts';

/** Sequences in which model and product once differed, or that are worth keeping. */
export const cases: { about: string; steps: Step[]; settings?: Pick<State, 'stackStarts'> }[] = [
  {
    about: 'a key is rotated, used and rotated on in the grace of its parent',
    steps: [
      { do: 'create', caller: 'admin', owner: 0, scopes: ['a:*'], days: 90, grace_starts: 'first_use' },
      { do: 'use', key: 0, secret: 0, scope: 'a:read' },
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_period_hours: 720 } },
      { do: 'use', key: 0, secret: 0, scope: 'a:read' },
      { do: 'rotate', caller: 'admin', key: 0, request: {} },
    ],
  },
  {
    about:
      'a rotation is cancelled whose grace began with the first use: it is the successor that is in the way',
    steps: [
      { do: 'create', caller: 'admin', owner: 0, scopes: ['a:*'], days: 90, grace_starts: null },
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_starts: 'first_use' } },
      { do: 'use', key: 0, secret: 0, scope: 'a:read' },
      { do: 'cancel', caller: 'admin', key: 1 },
    ],
  },
  {
    about: 'keys go every way from one status to another that docs/rotation.md draws',
    steps: [
      { do: 'create', caller: 'admin', owner: 0, scopes: ['a:*'], days: 90, grace_starts: 'now' },
      // Keys are counted from the youngest.
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_starts: 'first_use' } },
      { do: 'cancel', caller: 'admin', key: 1 },
      { do: 'rotate', caller: 'admin', key: 1, request: {} },
      { do: 'cancel', caller: 'admin', key: 2 },
      { do: 'rotate', caller: 'admin', key: 2, request: {} },
      { do: 'revoke', caller: 'admin', key: 3 },
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_starts: 'first_use' } },
      { do: 'use', key: 0, secret: 0, scope: 'a:read' },
      { do: 'wait', ms: DAY },
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_starts: 'first_use' } },
      { do: 'wait', ms: 7 * DAY },
      { do: 'sweep' },
      { do: 'wait', ms: 90 * DAY },
      { do: 'create', caller: 'admin', owner: 0, scopes: ['a:*'], days: 90, grace_starts: 'now' },
      { do: 'rotate', caller: 'admin', key: 0, request: { grace_starts: 'first_use' } },
      { do: 'revoke', caller: 'admin', key: 1 },
      { do: 'rotate', caller: 'admin', key: 0, request: {} },
      { do: 'revoke', caller: 'admin', key: 0 },
    ],
  },
];
