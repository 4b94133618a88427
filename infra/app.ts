import { App, DefaultStackSynthesizer, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import { CatalogStack } from '../examples/catalog-cached/catalog-stack.ts';
import { InvoicesStack } from '../examples/invoices-openapi/invoices-stack.ts';
import { NotificationsStack } from '../examples/notifications-websocket/notifications-stack.ts';
import { OrdersStack } from '../examples/orders/orders-stack.ts';
import { OrdersWorkerStack } from '../examples/orders-worker/orders-worker-stack.ts';
import { ShipmentsStack } from '../examples/shipments-http/shipments-stack.ts';
import { importRekey } from './rekey-reference.ts';
import { RekeyStack } from './rekey-stack.ts';
import { readSettings } from './settings.ts';

// No metadata of CDK's own and no lookups: the templates depend on the source alone.
const app = new App({ analyticsReporting: false });
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));

const synthesizer = () => new DefaultStackSynthesizer({ generateBootstrapVersionRule: false });
const settings = readSettings(app.node);

const rekey = new RekeyStack(app, 'Rekey', {
  description: 'Rekey: scoped API keys that are rotated without downtime',
  synthesizer: synthesizer(),
  settings,
});
/** What every example is given. */
const example = (description: string) => ({
  description,
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  mode: settings.mode,
});
const orders = new OrdersStack(
  app,
  'Orders',
  example('The Orders example: an API of a product team, protected by Rekey'),
);
const ordersWorker = new OrdersWorkerStack(app, 'OrdersWorker', {
  ...example('The Orders worker example: a client whose key is in Secrets Manager, and rotated there'),
  ordersApiUrl: orders.url,
});
const shipments = new ShipmentsStack(app, 'Shipments', {
  description: 'The Shipments example: an HTTP API of a product team, protected by Rekey',
  synthesizer: synthesizer(),
  rekeyStackName: rekey.stackName,
  mode: settings.mode,
});
const notifications = new NotificationsStack(
  app,
  'Notifications',
  example('The Notifications example: a WebSocket API of a product team, protected by Rekey'),
);
const catalog = new CatalogStack(
  app,
  'Catalog',
  example('The Catalog example: APIs whose gateway keeps the answers of the authorizer'),
);
const invoices = new InvoicesStack(
  app,
  'Invoices',
  example('The Invoices example: an API of a product team that is made from its OpenAPI document'),
);
for (const example of [orders, ordersWorker, shipments, notifications, catalog, invoices])
  example.addStackDependency(rekey);
