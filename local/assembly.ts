import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** One entry of a template's `Resources`, as written (intrinsics unresolved). */
export interface TemplateResource {
  Type: string;
  Properties?: Record<string, unknown>;
  DependsOn?: string | string[];
  Condition?: string;
  DeletionPolicy?: string;
  UpdateReplacePolicy?: string;
  Metadata?: Record<string, unknown>;
}

export interface TemplateParameter {
  Type: string;
  Default?: unknown;
}

export interface TemplateOutput {
  Value: unknown;
  Condition?: string;
  Description?: string;
  Export?: { Name: unknown };
}

/** https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html */
export interface Template {
  Parameters: Record<string, TemplateParameter>;
  Mappings: Record<string, Record<string, Record<string, unknown>>>;
  Conditions: Record<string, unknown>;
  Resources: Record<string, TemplateResource>;
  Outputs: Record<string, TemplateOutput>;
}

/** A file or folder that a deployment would upload. */
export interface Asset {
  /** Absolute path in the cloud assembly. */
  path: string;
  isFolder: boolean;
}

export interface AssemblyStack {
  name: string;
  /** The account that it was synthesized for; absent: the laptop's own. */
  account?: string;
  template: Template;
  /** By the object key it would have in the bootstrap bucket, which is what the template names. */
  assets: Map<string, Asset>;
}

/** A cloud assembly that can't be run here; the message says what and where. */
export class AssemblyError extends Error {
  override name = 'AssemblyError';
}

interface Artifact {
  type: string;
  dependencies?: string[];
  environment?: string;
  properties?: { templateFile?: string; stackName?: string; file?: string };
}

const SECTIONS = new Set([
  'AWSTemplateFormatVersion',
  'Description',
  'Metadata',
  // Rules only check parameters before a deployment (the CDK's: the version of the bootstrap stack).
  'Rules',
  'Parameters',
  'Mappings',
  'Conditions',
  'Resources',
  'Outputs',
]);

const RESOURCE_ATTRIBUTES = new Set([
  'Type',
  'Properties',
  'DependsOn',
  'Condition',
  'DeletionPolicy',
  'UpdateReplacePolicy',
  'Metadata',
]);

/** What a cloud assembly may hold besides stacks and their assets, without any meaning for a deployment. */
const DESCRIPTIVE = new Set(['cdk:tree', 'cdk:feature-flag-report']);

const readJson = (path: string): Record<string, unknown> => {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new AssemblyError(`${path}: ${(error as Error).message}`);
  }
};

/**
 * Reads what `cdk synth` wrote.
 *
 * @returns the stacks, each after those it depends on, otherwise in the manifest's order
 * @throws AssemblyError for anything in it that the laptop stack does not know
 */
export function readAssembly(
  directory: string,
  environment: { account: string; region: string },
): AssemblyStack[] {
  const root = resolve(directory);
  if (!existsSync(join(root, 'manifest.json'))) {
    throw new AssemblyError(`${root} has no manifest.json: it is not what \`cdk synth\` wrote`);
  }
  const { artifacts = {} } = readJson(join(root, 'manifest.json')) as {
    artifacts?: Record<string, Artifact>;
  };
  const stacks: AssemblyStack[] = [];
  const seen = new Set<string>();

  const visit = (id: string, trail: string[]): void => {
    if (trail.includes(id))
      throw new AssemblyError(`stacks depend on each other: ${[...trail, id].join(' → ')}`);
    const artifact = artifacts[id];
    if (artifact === undefined)
      throw new AssemblyError(`manifest.json: ${trail.at(-1)} depends on ${id}, which is not there`);
    if (seen.has(id)) return;
    for (const dependency of artifact.dependencies ?? []) visit(dependency, [...trail, id]);
    seen.add(id);
    if (artifact.type === 'aws:cloudformation:stack') {
      stacks.push(readStack(root, id, artifact, artifacts, environment));
    } else if (artifact.type !== 'cdk:asset-manifest' && !DESCRIPTIVE.has(artifact.type)) {
      throw new AssemblyError(
        `manifest.json: the laptop stack does not know the artifact type ${artifact.type} (${id})`,
      );
    }
  };
  for (const id of Object.keys(artifacts)) visit(id, []);
  if (stacks.length === 0) throw new AssemblyError(`${root} has no stack`);
  return stacks;
}

/** Node would read the package.json of a folder above for the .js files of assets; in Lambda there is none. */
export const shieldAssets = (directory: string): void =>
  writeFileSync(join(directory, 'package.json'), '{}\n');

/**
 * Reads several, each on its own: a stack finds those of an assembly before it by exports and parameters.
 *
 * @throws AssemblyError also for a name that two stacks have
 */
export function readAssemblies(
  directories: readonly string[],
  environment: { account: string; region: string },
): AssemblyStack[] {
  const stacks = directories.flatMap((directory) => readAssembly(directory, environment));
  const twice = stacks.find(({ name }, index) => stacks.findIndex((other) => other.name === name) < index);
  if (twice) throw new AssemblyError(`two stacks have the name ${twice.name}: give one of them another`);
  return stacks;
}

function readStack(
  root: string,
  id: string,
  { properties, environment: target = '', dependencies = [] }: Artifact,
  artifacts: Record<string, Artifact>,
  { account, region }: { account: string; region: string },
): AssemblyStack {
  const name = properties?.stackName ?? id;
  // A template for one account has that account's number in its ARNs, so the stack runs in that account.
  const [, targetAccount, targetRegion] = /^aws:\/\/([^/]+)\/([^/]+)$/.exec(target) ?? [];
  if (
    !/^(?:unknown-account|\d{12})$/.test(targetAccount ?? '') ||
    (targetRegion !== 'unknown-region' && targetRegion !== region)
  ) {
    throw new AssemblyError(
      `${name} was synthesized for ${target}: the laptop stack runs stacks of any account, in ${region} or for no Region`,
    );
  }
  const isOwn = targetAccount === 'unknown-account' || targetAccount === account;

  const raw = readJson(join(root, properties?.templateFile ?? `${id}.template.json`));
  for (const section of Object.keys(raw)) {
    if (!SECTIONS.has(section))
      throw new AssemblyError(`${name}: the laptop stack does not know the template section ${section}`);
  }
  const template = {
    Parameters: {},
    Mappings: {},
    Conditions: {},
    Resources: {},
    Outputs: {},
    ...raw,
  } as Template;
  for (const [logicalId, resource] of Object.entries(template.Resources)) {
    for (const attribute of Object.keys(resource)) {
      if (!RESOURCE_ATTRIBUTES.has(attribute)) {
        throw new AssemblyError(
          `${name}/${logicalId}: the laptop stack does not know the resource attribute ${attribute}`,
        );
      }
    }
  }

  const assets = new Map<string, Asset>();
  for (const dependency of dependencies) {
    const file =
      artifacts[dependency]?.type === 'cdk:asset-manifest' && artifacts[dependency].properties?.file;
    if (file) for (const [key, asset] of readAssets(root, file)) assets.set(key, asset);
  }
  return { name, template, assets, ...(!isOwn && { account: targetAccount! }) };
}

function readAssets(root: string, file: string): Map<string, Asset> {
  const manifest = readJson(join(root, file)) as {
    files?: Record<
      string,
      {
        source: { path?: string; executable?: string[] };
        destinations: Record<string, { objectKey: string }>;
      }
    >;
    dockerImages?: Record<string, unknown>;
  };
  const images = Object.keys(manifest.dockerImages ?? {});
  if (images.length > 0)
    throw new AssemblyError(`${file}: the laptop stack does not run container images (${images.join(', ')})`);
  const assets = new Map<string, Asset>();
  for (const [hash, { source, destinations }] of Object.entries(manifest.files ?? {})) {
    if (source.path === undefined)
      throw new AssemblyError(`${file}: asset ${hash} has no path (made by a command?)`);
    const path = resolve(root, source.path);
    if (!existsSync(path)) throw new AssemblyError(`${file}: ${path} is missing; run the synth again`);
    for (const { objectKey } of Object.values(destinations)) {
      assets.set(objectKey, { path, isFolder: statSync(path).isDirectory() });
    }
  }
  return assets;
}
