import { dirname, join } from 'node:path';
import { AssetHashType, DockerImage, Duration, type RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import {
  type AddToPrincipalPolicyResult,
  PolicyDocument,
  type PolicyStatement,
  Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, type RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import { writeBundle } from './bundle.ts';

/** What all functions of one stack have in common. */
export interface FunctionDefaults {
  logRetention: RetentionDays;
  logRemoval: RemovalPolicy;
}

export interface TypeScriptFunctionProps extends FunctionDefaults {
  description: string;
  /** Absolute path of the file that exports `handler`. */
  entry: string;
  environment?: Record<string, string>;
  /** Statements of the function's role, beyond its own logs and traces. */
  access?: PolicyStatement[];
  /** @default 10 seconds */
  timeout?: Duration;
  /** Megabytes; processor time comes with it. @default 512 */
  memorySize?: number;
}

/**
 * One minified ES module. esbuild is called in this process: CDK's NodejsFunction starts it through npx, which
 * takes most of a second for each function.
 */
const bundled = (entry: string): Code =>
  Code.fromAsset(dirname(entry), {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      image: DockerImage.fromRegistry('not-used'),
      // Not run, but CDK tells one bundle of a folder from another by it.
      command: [entry],
      local: {
        tryBundle: (outputDirectory) => {
          writeBundle(entry, join(outputDirectory, 'index.mjs'));
          return true;
        },
      },
    },
  });

/**
 * The role of one function, whose statements are in itself: whoever reads it sees all that it may do, it is never there
 * without them, and the stack has one resource fewer for each function (CloudFormation takes 500).
 */
class FunctionRole extends Role {
  readonly #statements: PolicyDocument;

  constructor(scope: Construct, id: string, { description }: { description: string }) {
    const statements = new PolicyDocument({ minimize: true });
    super(scope, id, {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      description,
      inlinePolicies: { Access: statements },
    });
    this.#statements = statements;
  }

  override addToPrincipalPolicy(statement: PolicyStatement): AddToPrincipalPolicyResult {
    this.#statements.addStatements(statement);
    return { statementAdded: true, policyDependable: this };
  }
}

/**
 * A Lambda function of one TypeScript file: ARM64, Node 24, one bundled ES module, its own log group and its own
 * role, which may write to that log group, send traces, and do what `access` says. Nothing else.
 */
export class TypeScriptFunction extends LambdaFunction {
  constructor(scope: Construct, id: string, props: TypeScriptFunctionProps) {
    const logGroup = new LogGroup(scope, `${id}Logs`, {
      retention: props.logRetention,
      removalPolicy: props.logRemoval,
    });
    const role = new FunctionRole(scope, `${id}Role`, {
      description: `Of the function ${id} of ${Stack.of(scope).stackName}`,
    });
    logGroup.grantWrite(role);
    for (const statement of props.access ?? []) role.addToPolicy(statement);

    super(scope, id, {
      description: props.description,
      code: bundled(props.entry),
      handler: 'index.handler',
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: props.memorySize ?? 512,
      timeout: props.timeout ?? Duration.seconds(10),
      environment: props.environment,
      role,
      logGroup,
      tracing: Tracing.ACTIVE,
    });
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'X-Ray has no resources: PutTraceSegments and PutTelemetryRecords can only be granted on *.',
    });
  }
}
