import { describe, expect, it } from '@jest/globals';
import { type Caller, demandEnvironment, demandGrantable, demandOwner, maySee } from '../../lib/caller.ts';

const caller: Caller = {
  key_id: 'key_0000000000000000000001',
  owner_id: 'mine',
  owner_access: 'own',
  environment: 'live',
  scopes: ['orders:*', '*:read'],
};
const forAll: Caller = { ...caller, owner_access: 'any' };
const theirs = { owner_id: 'theirs', owner_access: 'own' as const };
const mine = { owner_id: 'mine', owner_access: 'own' as const };

describe('the calling key', () => {
  it('sees keys of its own owner only', () => {
    expect(maySee(caller, mine)).toBe(true);
    expect(maySee(caller, theirs)).toBe(false);
    expect(maySee(caller, { owner_id: 'mine2' })).toBe(false);
  });

  it('sees keys of all owners with owner_access any', () => {
    expect(maySee(forAll, theirs)).toBe(true);
  });

  it('grants what it holds, wildcards included, and nothing more', () => {
    demandGrantable(caller, ['orders:write', 'orders:*', 'invoices:read', '*:read']);
    expect(() => demandGrantable(caller, ['orders:read', 'invoices:write', '*:*', '*:write'])).toThrow(
      expect.objectContaining({
        status: 403,
        code: 'scope_escalation',
        extensions: { excess_scopes: ['invoices:write', '*:*', '*:write'] },
      }),
    );
  });

  it('acts for its own owner only', () => {
    demandOwner(caller, mine);
    expect(() => demandOwner(caller, theirs)).toThrow(expect.objectContaining({ code: 'owner_forbidden' }));
    demandOwner(forAll, theirs);
  });

  it('gives access to all owners only if it has it', () => {
    const any = { ...mine, owner_access: 'any' as const };
    expect(() => demandOwner(caller, any)).toThrow(expect.objectContaining({ code: 'owner_forbidden' }));
    demandOwner(forAll, any);
  });

  it('of the test environment leaves live keys alone', () => {
    const test: Caller = { ...forAll, environment: 'test' };
    demandEnvironment(test, { environment: 'test' });
    demandEnvironment(caller, { environment: 'test' });
    expect(() => demandEnvironment(test, { environment: 'live' })).toThrow(
      expect.objectContaining({ code: 'environment_forbidden', status: 403 }),
    );
  });
});
