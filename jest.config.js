/** Standard decorators need swc's 2022-03 version: Node's own type stripping does not take decorators. */
const transform = {
  '^.+\\.ts$': [
    '@swc/jest',
    {
      jsc: {
        parser: { syntax: 'typescript', decorators: true },
        transform: { decoratorVersion: '2022-03' },
        target: 'es2024',
      },
      module: { type: 'es6' },
    },
  ],
};

const project = (displayName, testMatch, more = {}) => ({
  displayName,
  testMatch,
  transform,
  extensionsToTreatAsEsm: ['.ts'],
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/cdk.out', '<rootDir>/.local'],
  ...more,
});

export default {
  projects: [
    project('unit', ['<rootDir>/test/{lib,functions,local}/**/*.test.ts']),
    project('infra', ['<rootDir>/test/infra/**/*.test.ts']),
    project('model', ['<rootDir>/test/model/**/*.test.ts']),
    project('engine', ['<rootDir>/test/engine/**/*.test.ts']),
    project('e2e', ['<rootDir>/test/e2e/**/*.test.ts'], {
      globalSetup: '<rootDir>/test/e2e/start-shared-stack.ts',
      setupFilesAfterEnv: ['<rootDir>/test/e2e/long-timeout.ts'],
      globalTeardown: '<rootDir>/test/e2e/stop-shared-stack.ts',
    }),
  ],
};
