import awsCronParser from 'aws-cron-parser';

/** When a rule's schedule comes, in epoch milliseconds. */
export interface Schedule {
  /** The last time at or before `now`, undefined if there was none since `start`. */
  lastAt(now: number, start: number): number | undefined;
}

const UNIT_MS: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Minutes, hours, day of month, month, day of week, year. */
const FIELD = /^[\dA-Z*?,/#LW-]+$/;

/**
 * Reads `rate(5 minutes)` or `cron(0 12 * * ? *)`.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
 *
 * @throws Error for what AWS would not take
 */
export function readSchedule(expression: string): Schedule {
  const [, count, unit, plural] = /^rate\((\d{1,9}) (minute|hour|day)(s?)\)$/.exec(expression) ?? [];
  if (count !== undefined) {
    const value = Number(count);
    if (value < 1 || (value === 1) === (plural === 's')) {
      throw new Error(`${expression}: a rate is 1 minute, hour or day, or several minutes, hours or days`);
    }
    const every = value * UNIT_MS[unit!]!;
    return {
      lastAt(now, start) {
        const periods = Math.floor((now - start) / every);
        return periods < 1 ? undefined : start + periods * every;
      },
    };
  }
  const cron = /^cron\((.*)\)$/.exec(expression)?.[1];
  if (cron === undefined) throw new Error(`${expression} is neither rate(…) nor cron(…)`);
  const fields = cron.split(' ');
  if (fields.length !== 6 || !fields.every((field) => FIELD.test(field)))
    throw new Error(`${expression}: cron has six fields`);
  if ((fields[2] === '?') === (fields[4] === '?'))
    throw new Error(`${expression}: one of day of month and day of week is ?, and only one`);
  const parsed = readCron(cron, expression);
  return {
    lastAt(now, start) {
      // The parser looks for a minute before the one given.
      const next = (Math.floor(now / 60_000) + 1) * 60_000;
      const last = awsCronParser.prev(parsed, new Date(next))?.getTime();
      return last === undefined || last <= start ? undefined : last;
    },
  };
}

function readCron(cron: string, expression: string): ReturnType<typeof awsCronParser.parse> {
  try {
    const parsed = awsCronParser.parse(cron);
    // It reads a field only when it looks for a time.
    awsCronParser.next(parsed, new Date());
    return parsed;
  } catch (error) {
    throw new Error(`${expression}: ${(error as Error).message}`);
  }
}
