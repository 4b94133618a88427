import whole from '../jest.config.js';

/** The unit tests of the files that are mutated, alone. The property tests of policies take minutes by themselves. */
const { displayName: _name, ...unit } = whole.projects.find(({ displayName }) => displayName === 'unit');

export default {
  ...unit,
  rootDir: '..',
  modulePathIgnorePatterns: ['<rootDir>/cdk.out'],
  testMatch: [
    'scope',
    'schedule',
    'rotation',
    'lifetime',
    'version',
    'key-format',
    'key-change',
    'policy',
    'policy-compiler',
    'base62',
  ].map((name) => `<rootDir>/test/lib/${name}.test.ts`),
};
