import { App } from 'aws-cdk-lib';
import { ReturnsStack } from './returns-stack.ts';

/**
 * An app of its own: it is deployed to another account than Rekey's, by other people.
 *
 * `cdk synth --app 'node examples/returns-other-account/app.ts' -c account=111111111111 -c region=… -c authorizer=<ARN>
 * -c registerRoutes=<ARN>`, with the ARNs that the product's stack has as its outputs.
 */
const app = new App({ analyticsReporting: false });
const given = (name: string): string => {
  const value: unknown = app.node.tryGetContext(name);
  if (typeof value !== 'string') throw new Error(`-c ${name}=… is missing`);
  return value;
};

new ReturnsStack(app, 'Returns', {
  description: 'The Returns example: APIs of another account, protected by Rekey',
  env: { account: given('account'), region: given('region') },
  mode: 'development',
  rekey: {
    authorizerFunctionArn: given('authorizer'),
    registerRoutesFunctionArn: given('registerRoutes'),
    ofAnotherAccount: true,
  },
});
