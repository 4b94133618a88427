import type { State, Step } from './model.ts';

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
];
