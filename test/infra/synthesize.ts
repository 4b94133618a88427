import { readFileSync } from 'node:fs';
import { App, type Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { OrdersStack } from '../../examples/orders/orders-stack.ts';
import { importRekey } from '../../infra/rekey-reference.ts';
import { RekeyStack } from '../../infra/rekey-stack.ts';
import { RekeySettings } from '../../infra/settings.ts';

const flags = JSON.parse(readFileSync(new URL('../../cdk.json', import.meta.url), 'utf8')).context;

/** An app with the feature flags of cdk.json that bundles nothing: templates are tested here, not assets. */
export const appForTemplates = (): App =>
  new App({ analyticsReporting: false, context: { ...flags, 'aws:cdk:bundling-stacks': [] } });

// biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape
export type Resource = { Type: string; Properties: any; DependsOn?: string[]; DeletionPolicy?: string };

/** Resources by logical id. */
export type Resources = Record<string, Resource>;

export const resourcesOf = (template: Template): Resources => template.toJSON()['Resources'];

/** All resources of one type, by logical id. */
export const ofType = (resources: Resources, type: string): [string, Resource][] =>
  Object.entries(resources).filter(([, resource]) => resource.Type === type);

/** Both stacks as the app makes them, with other settings of the product's. */
export function synthesize(settings: Partial<RekeySettings> = {}): { rekey: Template; orders: Template } {
  const app = appForTemplates();
  const all = RekeySettings.parse(settings);
  const rekey = new RekeyStack(app, 'Rekey', { settings: all });
  const orders = new OrdersStack(app, 'Orders', { rekey: importRekey(), mode: all.mode });
  return { rekey: Template.fromStack(rekey), orders: Template.fromStack(orders) };
}

/** A function for routes to have. */
export const handlerIn = (stack: Stack): LambdaFunction =>
  new LambdaFunction(stack, 'Handler', {
    runtime: Runtime.NODEJS_24_X,
    handler: 'index.handler',
    code: Code.fromInline('export const handler = async () => ({ statusCode: 204 })'),
  });
