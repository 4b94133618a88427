import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { StrykerOptions } from '@stryker-mutator/api/core';
import { commonTokens, declareClassPlugin, PluginKind, tokens } from '@stryker-mutator/api/plugin';
import {
  type DryRunOptions,
  type DryRunResult,
  DryRunStatus,
  determineHitLimitReached,
  type MutantRunOptions,
  type MutantRunResult,
  type TestResult,
  type TestRunner,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import { transformSync } from '@swc/core';
import fc from 'fast-check';
import { addEventHandler, type Event, getState, resetState, run } from 'jest-circus';

/** What the mutated files read and write (`global.__stryker__`). */
interface Mutation {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  mutantCoverage?: { static: Record<string, number>; perTest: Record<string, Record<string, number>> };
}
const mutation: Mutation = {};
Object.assign(globalThis, { __stryker__: mutation });

const GLOBALS = new URL('./test-globals.ts', import.meta.url).href;
const HAS_DECORATORS = /^\s*@\w+\(/m;

/**
 * Stryker's own runner starts Jest for each mutant, and takes seconds. This one does the tests in its process with Jest's
 * parts, and loads each test file and what it imports anew, but for packages: so a mutant of a constant counts too, and
 * none finds what the one before it has left in a module.
 */
class InProcess implements TestRunner {
  static readonly inject = tokens(commonTokens.options);
  /** The tests that a file is to be noticed by. */
  readonly #testsOf: Record<string, string[]>;
  readonly #sources = new Map<string, string>();
  #round = 0;
  #file = '';
  #wanted: ReadonlySet<string> | undefined;
  #bail = false;
  #results: TestResult[] = [];

  constructor(options: StrykerOptions) {
    this.#testsOf = options['testsOf'] as Record<string, string[]>;
  }

  capabilities() {
    return { reloadEnvironment: true };
  }

  async init() {
    process.env['REKEY_POLICY_CASES'] ??= '500';
    // The same cases for every mutant, and no search for the smallest one that fails.
    fc.configureGlobal({ seed: 1, endOnFailure: true });
    registerHooks({
      resolve: (specifier, context, next) => {
        if (specifier === '@jest/globals') return { url: GLOBALS, shortCircuit: true };
        const resolved = next(specifier, context);
        const round = context.parentURL?.split('?round=')[1];
        const isOurs = resolved.url.endsWith('.ts') && !resolved.url.includes('/node_modules/');
        return round && isOurs ? { ...resolved, url: `${resolved.url}?round=${round}` } : resolved;
      },
      load: (url, context, next) => {
        if (!url.includes('?round=')) return next(url, context);
        return { format: 'module', source: this.#sourceOf(fileURLToPath(url)), shortCircuit: true };
      },
    });
    addEventHandler((event) => this.#follow(event));
  }

  async dryRun({ files = Object.keys(this.#testsOf) }: DryRunOptions): Promise<DryRunResult> {
    this.#wanted = undefined;
    this.#bail = false;
    mutation.mutantCoverage = { static: {}, perTest: {} };
    const result = await this.#run([...new Set(files.flatMap((file) => this.#testsFor(file)))]);
    return result.status === DryRunStatus.Complete ? { ...result, mutantCoverage: this.#coverage() } : result;
  }

  async mutantRun({
    activeMutant,
    sandboxFileName,
    testFilter,
    disableBail,
    hitLimit,
  }: MutantRunOptions): Promise<MutantRunResult> {
    if (!testFilter) throw new Error('every mutant has its tests, since all coverage is that of a test');
    this.#wanted = new Set(testFilter);
    this.#bail = !disableBail;
    mutation.activeMutant = activeMutant.id;
    mutation.hitLimit = hitLimit;
    mutation.hitCount = hitLimit === undefined ? undefined : 0;
    try {
      const covering = new Set(testFilter.map((id) => id.slice(0, id.indexOf('#'))));
      const result = await this.#run(this.#testsFor(sandboxFileName).filter((file) => covering.has(file)));
      return toMutantRunResult(
        determineHitLimitReached(mutation.hitCount, mutation.hitLimit) ?? result,
        disableBail,
      );
    } finally {
      mutation.activeMutant = undefined;
    }
  }

  #testsFor(file: string): string[] {
    return this.#testsOf[relative(process.cwd(), file)] ?? [];
  }

  async #run(files: readonly string[]): Promise<DryRunResult> {
    this.#results = [];
    for (const file of files) {
      if (this.#isOver()) break;
      this.#file = file;
      mutation.currentTestId = `${this.#file}#`;
      this.#round += 1;
      resetState();
      getState().parentProcess = process;
      try {
        await import(`${pathToFileURL(resolve(file))}?round=${this.#round}`);
      } catch (error) {
        this.#failed(`${this.#file}#`, 'the file loads', 0, [error]);
        continue;
      }
      const { unhandledErrors } = await run();
      if (unhandledErrors.length > 0) this.#failed(`${this.#file}#`, 'the file is clean', 0, unhandledErrors);
    }
    return { status: DryRunStatus.Complete, tests: this.#results };
  }

  #isOver(): boolean {
    return this.#bail && this.#results.some(({ status }) => status === TestStatus.Failed);
  }

  /** Circus tells what it does; a test that is not wanted is skipped before its hooks. */
  #follow(event: Event): void {
    if (event.name === 'test_start') {
      const id = this.#idOf(event.test);
      if (this.#isOver() || (this.#wanted && !this.#wanted.has(id))) event.test.mode = 'skip';
      else mutation.currentTestId = id;
    }
    if (event.name !== 'test_done') return;
    mutation.currentTestId = `${this.#file}#`;
    const id = this.#idOf(event.test);
    const { errors, duration } = event.test;
    if (errors.length > 0) this.#failed(id, id, duration ?? 0, errors);
    else
      this.#results.push({
        id,
        name: id,
        timeSpentMs: duration ?? 0,
        fileName: resolve(this.#file),
        status: TestStatus.Success,
      });
  }

  #idOf(test: { name: string; parent: unknown }): string {
    const names: string[] = [];
    for (
      let block = test as { name: string; parent?: unknown };
      block.parent;
      block = block.parent as typeof block
    )
      names.unshift(block.name);
    return `${this.#file}#${names.join(' ')}`;
  }

  #failed(id: string, name: string, timeSpentMs: number, errors: readonly unknown[]): void {
    const failureMessage = errors
      .map((error) => String(Array.isArray(error) ? (error[0] ?? error[1]) : error))
      .join('\n');
    this.#results.push({
      id,
      name,
      timeSpentMs,
      fileName: resolve(this.#file),
      status: TestStatus.Failed,
      failureMessage,
    });
  }

  /** What runs while a file is loaded, or in its hooks, concerns every test of the file. */
  #coverage() {
    const { perTest } = mutation.mutantCoverage!;
    const coverage: typeof perTest = {};
    for (const { id } of this.#results) {
      const shared = perTest[id.slice(0, id.indexOf('#') + 1)] ?? {};
      coverage[id] = { ...shared };
      for (const [mutant, hits] of Object.entries(perTest[id] ?? {}))
        coverage[id][mutant] = (coverage[id][mutant] ?? 0) + hits;
    }
    return { static: {}, perTest: coverage };
  }

  #sourceOf(path: string): string {
    let source = this.#sources.get(path);
    if (source === undefined) {
      const text = readFileSync(path, 'utf8');
      source = HAS_DECORATORS.test(text)
        ? transformSync(text, {
            filename: path,
            jsc: {
              parser: { syntax: 'typescript', decorators: true },
              transform: { decoratorVersion: '2022-03' },
              target: 'es2024',
            },
            module: { type: 'es6' },
          }).code
        : stripTypeScriptTypes(text);
      this.#sources.set(path, source);
    }
    return source;
  }
}

export const strykerValidationSchema = {
  properties: {
    testsOf: { type: 'object', additionalProperties: { type: 'array', items: { type: 'string' } } },
  },
};
export const strykerPlugins = [declareClassPlugin(PluginKind.TestRunner, 'in-process', InProcess)];
