/**
 * `npm run mutation` breaks the pure files one expression at a time, and shows what no unit test notices. It takes long:
 * `npm run mutation -- --mutate lib/scope.ts` for one of them.
 *
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  mutate: ['scope', 'schedule', 'rotation', 'lifetime', 'version', 'key-format', 'policy-compiler'].map(
    (name) => `lib/${name}.ts`,
  ),
  // It would read tsconfig.json with an API that TypeScript 7 has not; nothing here needs it.
  tsconfigFile: 'none',
  testRunner: 'jest',
  testRunnerNodeArgs: ['--experimental-vm-modules'],
  jest: {
    projectType: 'custom',
    configFile: 'test/mutation.jest.config.js',
  },
  // A constant of a module is there before any test, so whatever breaks it would have to run them all.
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: 2,
  timeoutMS: 20_000,
  reporters: ['clear-text', 'progress'],
  clearTextReporter: { allowColor: false, reportTests: false },
  tempDirName: '.local/stryker',
};
