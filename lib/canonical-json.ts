const sortNames = (_name: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/** JSON with the names of every object in order, so that equal values are equal texts. What is undefined is absent. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, sortNames) ?? 'null';
}
