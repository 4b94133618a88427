import { App } from 'aws-cdk-lib';
import { ThingsStack } from './things-stack.ts';

/** An app of its own, as it would be in the repository of a team that has nothing of Rekey's in it. */
new ThingsStack(new App({ analyticsReporting: false }), 'Things', {
  description: 'The Things example: APIs that are attached and registered by hand',
});
