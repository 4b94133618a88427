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
const orders = new OrdersStack(app, 'Orders', {
  description: 'The Orders example: an API of a product team, protected by Rekey',
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  mode: settings.mode,
});
const ordersWorker = new OrdersWorkerStack(app, 'OrdersWorker', {
  description: 'The Orders worker example: a client whose key is in Secrets Manager, and rotated there',
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  ordersApiUrl: orders.url,
  mode: settings.mode,
});
const shipments = new ShipmentsStack(app, 'Shipments', {
  description: 'The Shipments example: an HTTP API of a product team, protected by Rekey',
  synthesizer: synthesizer(),
  rekeyStackName: rekey.stackName,
  mode: settings.mode,
});
const notifications = new NotificationsStack(app, 'Notifications', {
  description: 'The Notifications example: a WebSocket API of a product team, protected by Rekey',
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  mode: settings.mode,
});
const catalog = new CatalogStack(app, 'Catalog', {
  description: 'The Catalog example: APIs whose gateway keeps the answers of the authorizer',
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  mode: settings.mode,
});
const invoices = new InvoicesStack(app, 'Invoices', {
  description: 'The Invoices example: an API of a product team that is made from its OpenAPI document',
  synthesizer: synthesizer(),
  rekey: importRekey(rekey.stackName),
  mode: settings.mode,
});
for (const example of [orders, ordersWorker, shipments, notifications, catalog, invoices])
  example.addStackDependency(rekey);
