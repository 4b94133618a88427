import { existsSync } from 'node:fs';

const own = (name) => `test/lib/${name}.test.ts`;

/** What is mutated, and the unit tests that have to notice it, the quickest first; by default the file's own. */
const files = {
  scope: [],
  schedule: [],
  rotation: [],
  lifetime: [],
  version: [],
  'key-format': [],
  'policy-compiler': [own('policy-compiler.property')],
  grace: [own('rotation'), own('first-use')],
  'first-use': [],
  'api-key': [],
  'key-change': [],
  access: [],
  caller: [],
  base62: [],
  policy: [],
  routes: [],
  'route-request': [],
  'last-use': [],
  'lost-access': [],
  leak: [],
  misuse: [],
  'rotation-due': [],
  credentials: [],
  cursor: [],
  'secret-text': [],
  delivery: [],
  event: [],
  publish: [],
  stage: [],
  status: [],
  'webhook-url': [],
  'webhook-signature': [],
  'webhook-request': [],
  'webhook-endpoint': [],
  'github-keys': [],
  'requires-scope/check': [own('requires-scope')],
  'requires-scope/principal': [own('requires-scope')],
  'requires-scope/decorator': [own('requires-scope')],
  'requires-scope/requires-scope': [own('requires-scope')],
  'verify/verifier': [],
  'protect-openapi/protect': [],
  'protect-openapi/security': [own('protect-openapi/protect')],
  'client/schedule': [own('client/client')],
  'client/client': [],
  'testing/same-scopes': [],
};

/**
 * `npm run mutation` breaks the files that decide one expression at a time, and shows what no unit test notices
 * (docs/testing.md). `npm run mutation -- --mutate lib/scope.ts` does one of them.
 *
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  mutate: Object.keys(files).map((name) => `lib/${name}.ts`),
  testsOf: Object.fromEntries(
    Object.entries(files).map(([name, more]) => [`lib/${name}.ts`, [own(name), ...more].filter(existsSync)]),
  ),
  // It would read tsconfig.json with an API that TypeScript 7 has not; nothing here needs it.
  tsconfigFile: 'none',
  plugins: ['./test/mutation/runner.ts'],
  testRunner: 'in-process',
  testRunnerNodeArgs: ['--disable-warning=ExperimentalWarning'],
  // Every module that was ever loaded stays in the memory of a process.
  maxTestRunnerReuse: 300,
  coverageAnalysis: 'perTest',
  concurrency: 2,
  timeoutMS: 20_000,
  reporters: ['clear-text', 'progress', 'json'],
  jsonReporter: { fileName: '.local/mutation.json' },
  clearTextReporter: { allowColor: false, reportTests: false },
  ignorePatterns: ['bench', 'cdk.out'],
  tempDirName: '.local/stryker',
};
