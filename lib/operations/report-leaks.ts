import { z } from 'zod';
import { keyPrefix } from '../environment.ts';
import { leakedKey } from '../leak.ts';
import { MOST_IN_MESSAGE, sendReports } from '../leak-queue.ts';
import { defineOperation } from './definition.ts';
import { exampleSecret } from './example-key.ts';

const ReportLeaks = z
  .strictObject({
    keys: z
      .array(
        z.string('must be a string').max(512, 'must have at most 512 characters'),
        'must be a list of keys',
      )
      .min(1, 'must have at least 1 key')
      .max(MOST_IN_MESSAGE, `must have at most ${MOST_IN_MESSAGE} keys`)
      .meta({ description: 'The keys as they were found.' }),
  })
  .meta({ id: 'ReportLeaks' });

const ReportedLeaks = z.object({ status: z.literal('accepted') }).meta({ id: 'ReportedLeaks' });

export const reportLeaks = defineOperation({
  name: 'report-leaks',
  method: 'POST',
  path: '/leaks',
  public: true,
  throttle: { requestsPerSecond: 5, burst: 20 },
  summary: 'Report keys that leaked',
  description:
    'For whoever finds a key: it is revoked within seconds (or reported to its owner, as the stack is set). The answer is the same for whatever was sent, valid or not.',
  body: ReportLeaks,
  takesKey: true,
  answer: { status: 202, description: 'Thank you. It says nothing about the keys.', schema: ReportedLeaks },
  problems: [],
  examples: { body: { keys: [exampleSecret] }, answer: { status: 'accepted' } },
  // The same work for each text, and one message whatever they are: neither the answer nor its time tells a real key.
  async run({ body, origin: { now: _now, ...from } }) {
    const prefix = keyPrefix();
    await sendReports([
      { found_by: 'report', keys: body.keys.map((text) => leakedKey(text, prefix)), ...from },
    ]);
    return { status: 'accepted' as const };
  },
});
