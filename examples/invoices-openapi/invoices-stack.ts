import { readFileSync } from 'node:fs';
import { CfnOutput } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { parse } from 'yaml';
import { ProtectedSpecRestApi, type RekeyReference } from '../../infra/cdk.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface InvoicesStackProps extends ExampleStackProps {
  rekey: RekeyReference;
}

/** An API of a product team that is made from its OpenAPI document. */
export class InvoicesStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekey, ...props }: InvoicesStackProps) {
    super(scope, id, props);
    const invoices = this.lambda(
      'Invoices',
      new URL('invoices.ts', import.meta.url),
      'Lists, shows and sends invoices',
    );
    const api = new ProtectedSpecRestApi(this, 'Api', {
      rekey,
      ...this.logs,
      document: parse(readFileSync(new URL('invoices.yaml', import.meta.url), 'utf8')),
      handlers: { listInvoices: invoices, sendInvoice: invoices, showInvoice: invoices, health: invoices },
    });
    new CfnOutput(this, 'InvoicesApiUrl', { value: api.url });
  }
}
