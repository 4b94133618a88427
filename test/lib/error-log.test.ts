import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { logProblem } from '../../lib/error-log.ts';
import { InternalError, InvalidRequest, NotFound } from '../../lib/problem.ts';

const lines: { level: 'info' | 'error'; line: Record<string, unknown> }[] = [];
beforeEach(() => {
  lines.length = 0;
  for (const level of ['info', 'error'] as const)
    jest
      .spyOn(console, level)
      .mockImplementation((text) => void lines.push({ level, line: JSON.parse(text) }));
});
afterEach(() => void jest.restoreAllMocks());

const where = { operation: 'get-key', request_id: 'r-1' };

describe('the log of a problem', () => {
  it('is one line that says which request and which problem', () => {
    logProblem(new NotFound(), where);
    expect(lines).toEqual([
      { level: 'info', line: { level: 'info', event: 'problem', code: 'not_found', status: 404, ...where } },
    ]);
  });

  it('has nothing of what was sent', () => {
    logProblem(new InvalidRequest([{ pointer: '/my_secret', detail: 'is not a known field' }]), where);
    expect(JSON.stringify(lines)).not.toContain('my_secret');
  });

  it('has the cause of a fault, without keys, and without what clients hang on an error', () => {
    const cause = Object.assign(new Error('at rk_test_0000000000001111111111 and rk_live_00000000xyz'), {
      $response: { body: 'everything' },
    });
    logProblem(new InternalError(cause), where);
    const { level, line } = lines[0]!;
    expect(level).toBe('error');
    expect(line['cause']).toMatchObject({ name: 'Error', message: 'at [secret] and [secret]' });
    expect(JSON.stringify(line)).not.toMatch(/everything|0000000/);
    expect((line['cause'] as { stack: string }).stack).toContain('error-log.test');
  });

  it('takes a cause that is no error', () => {
    logProblem(new InternalError('rk_live_00000000xyz'), where);
    expect(lines[0]!.line['cause']).toEqual({ message: '[secret]' });
  });
});
