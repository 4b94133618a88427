import type { AccessCode } from './access.ts';
import type { ApiKeyRecord } from './api-key.schema.ts';

/** A use of a key, with its right secret, that should never have been. */
export type Misuse = 'api_key.honey_used' | 'api_key.used_late' | 'api_key.reuse_detected';

export interface MisuseSettings {
  /** A use this shortly after the grace is a slow client's, and is told as late. */
  late_use_minutes: number;
}

const HOUR_MS = 3_600_000;
/** Six a minute. */
const HONEY_TOLD_EVERY_MS = 10_000;
const TOLD_EVERY_MS = HOUR_MS;

/**
 * What the refused use of a key tells its owner. A key that has a successor and whose grace is over is in the hands of
 * somebody who missed the rotation: a slow client, or a thief. Only of a secret that is right, so that nobody writes
 * to the table by guessing; and each key only so often.
 *
 * @param code what `decideAccess` said of the presented secret
 * @param now epoch milliseconds
 * @returns undefined when there is nothing to tell, or it was told not long ago
 */
export function misuseOf(
  record: Pick<ApiKeyRecord, 'expires_at' | 'rotated_at' | 'told_at'>,
  code: AccessCode,
  now: number,
  { late_use_minutes }: MisuseSettings,
): Misuse | undefined {
  const told = record.told_at === undefined ? Number.NEGATIVE_INFINITY : Date.parse(record.told_at);
  if (code === 'honey') return told > now - HONEY_TOLD_EVERY_MS ? undefined : 'api_key.honey_used';
  if (code !== 'expired' || record.rotated_at === null || record.expires_at === null) return undefined;

  const lateUntil = Date.parse(record.expires_at) + late_use_minutes * 60_000;
  if (now < lateUntil) return told > now - TOLD_EVERY_MS ? undefined : 'api_key.used_late';
  // That it was late was told of another use: it does not hold this back.
  return told >= lateUntil && told > now - TOLD_EVERY_MS ? undefined : 'api_key.reuse_detected';
}

/** What the event says beside the key: where it was used, and since when it should not have been. */
export const misuseData = (
  misuse: Misuse,
  { expires_at }: Pick<ApiKeyRecord, 'expires_at'>,
  where: { route: string | null; api_id: string | null },
): Record<string, unknown> => ({
  ...where,
  ...(misuse !== 'api_key.honey_used' && { grace_ended_at: expires_at }),
});
