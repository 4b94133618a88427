import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CfnOutput, RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { parse } from 'yaml';
import { ProtectedSpecRestApi, type RekeyReference } from '../../infra/cdk.ts';
import { TypeScriptFunction } from '../../infra/typescript-function.ts';

export interface InvoicesStackProps extends StackProps {
  rekey: RekeyReference;
  mode: 'production' | 'development';
}

/** An API of a product team that is made from its OpenAPI document. */
export class InvoicesStack extends Stack {
  constructor(scope: Construct, id: string, { rekey, mode, ...props }: InvoicesStackProps) {
    super(scope, id, props);
    const logs = {
      logRetention: RetentionDays.ONE_MONTH,
      logRemoval: mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    };
    const invoices = new TypeScriptFunction(this, 'Invoices', {
      ...logs,
      description: 'Lists, shows and sends invoices',
      entry: fileURLToPath(new URL('invoices.ts', import.meta.url)),
      memorySize: 256,
    });
    const api = new ProtectedSpecRestApi(this, 'Api', {
      rekey,
      ...logs,
      document: parse(readFileSync(new URL('invoices.yaml', import.meta.url), 'utf8')),
      handlers: { listInvoices: invoices, sendInvoice: invoices, showInvoice: invoices, health: invoices },
    });
    new CfnOutput(this, 'InvoicesApiUrl', { value: api.url });
  }
}
