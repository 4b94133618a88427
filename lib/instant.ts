/** The one form that points in time have in records, answers and events. `ms` in epoch milliseconds. */
export const instant = (ms: number): string => new Date(ms).toISOString();
