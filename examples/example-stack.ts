import { fileURLToPath } from 'node:url';
import { RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { TypeScriptFunction, type TypeScriptFunctionProps } from '../infra/typescript-function.ts';

export interface ExampleStackProps extends StackProps {
  mode: 'production' | 'development';
}

/** What the stacks of the example teams have in common: logs for a month, and small functions. */
export abstract class ExampleStack extends Stack {
  /** For APIs and functions. */
  protected readonly logs: { logRetention: RetentionDays; logRemoval: RemovalPolicy };

  constructor(scope: Construct, id: string, { mode, ...props }: ExampleStackProps) {
    super(scope, id, props);
    this.logs = {
      logRetention: RetentionDays.ONE_MONTH,
      logRemoval: mode === 'production' ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    };
  }

  /** @param file `new URL('list-orders.ts', import.meta.url)` */
  protected lambda(
    id: string,
    file: URL,
    description: string,
    more: Pick<TypeScriptFunctionProps, 'environment'> = {},
  ): TypeScriptFunction {
    return new TypeScriptFunction(this, id, {
      ...this.logs,
      ...more,
      description,
      entry: fileURLToPath(file),
      memorySize: 256,
    });
  }
}
