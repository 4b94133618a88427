import { join, relative, resolve } from 'node:path';
import type { RunningStack } from './stack.ts';

/** What `npm start` prints when the stack is up. */
export function summary(
  { apis, admin_key: adminKey, control, stateDir, withoutEffect }: RunningStack,
  seconds: string,
): string {
  const lines = ['', `Ready in ${seconds} s.`, ''];
  for (const [name, url] of Object.entries(apis)) lines.push(`  ${name.padEnd(12)} ${url}`);
  lines.push(`  ${'control'.padEnd(12)} ${control}   (clock, Lambda Invoke)`);
  lines.push(`  ${'admin key'.padEnd(12)} ${adminKey}`);
  lines.push(`  ${'logs'.padEnd(12)} ${fromHere(join(stateDir, 'logs'))}`);
  lines.push(`  ${'all of it'.padEnd(12)} ${fromHere(join(stateDir, 'stack.json'))}`);
  const { management, orders } = apis;
  if (adminKey && management && orders)
    lines.push(
      '',
      'To paste: a key that may read orders; it does; it may not place one, and the 403 names the scope; it gets a',
      'successor, and both work for a day; it is revoked, and the successor goes on. `npm run tour` plays more.',
      '',
      ...curlLines(management, orders, join(stateDir, 'stack.json')),
    );
  const reasons = new Set(withoutEffect.map(({ type, property }) => `${type}.${property}`));
  lines.push(
    '',
    `${reasons.size} properties have no effect here; docs/laptop.md lists them. Ctrl-C stops the stack.`,
    '',
  );
  return lines.join('\n');
}

/** The shorter of two paths, where both are right. */
const fromHere = (path: string): string => {
  const short = relative('', path);
  return short.startsWith('..') ? path : short;
};

/** For bash and zsh. No line is a comment: a zsh that somebody types into takes `#` for a command. */
function curlLines(management: string, orders: string, stackFile: string): string[] {
  const json = `-H 'content-type: application/json'`;
  const admin = `-H "x-api-key: $ADMIN"`;
  const key = `-H "x-api-key: $KEY"`;
  const read = `node -p 'JSON.parse(fs.readFileSync(0)).key'`;
  const body = '{"name":"first","owner_id":"me","scopes":["orders:read"]}';
  return [
    `ADMIN=$(node -p 'require(process.argv[1]).admin_key' ${quoted(resolve(stackFile))})`,
    `API=${management} ORDERS=${orders}`,
    '',
    `KEY=$(curl -sS $API/api-keys ${admin} ${json} -d '${body}' | ${read}); echo $KEY`,
    `curl -sS $ORDERS/orders ${key}; echo`,
    `curl -sS $ORDERS/orders ${key} ${json} -d '{"item":"filters"}'; echo`,
    // The id is in the key's text: after prefix and environment, the first 22 of the last 71 characters.
    `curl -sS -X POST $API/api-keys/key_\${KEY: -71:22}/rotate ${admin}; echo`,
    `curl -sS -X POST $API/api-keys/key_\${KEY: -71:22}/revoke ${admin}; echo`,
  ];
}

/** One word of a POSIX shell. */
const quoted = (path: string): string =>
  /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
