import { CfnOutput, Duration } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { ProtectedHttpApi, ProtectedRestApi, type RekeyReference } from '../../infra/cdk.ts';
import { ExampleStack, type ExampleStackProps } from '../example-stack.ts';

export interface ReturnsStackProps extends ExampleStackProps {
  rekey: RekeyReference;
}

/**
 * APIs of a team with an AWS account of its own. API Gateway keeps the authorizer's answers in that account, and Rekey
 * empties its caches by the role that each construct makes there.
 */
export class ReturnsStack extends ExampleStack {
  constructor(scope: Construct, id: string, { rekey, ...props }: ReturnsStackProps) {
    super(scope, id, props);
    const handler = this.lambda('Returns', new URL('returns.ts', import.meta.url), 'Takes goods back');
    const kept = { rekey, description: 'Returns', cacheTtl: Duration.minutes(5), ...this.logs };
    const rest = new ProtectedRestApi(this, 'RestApi', kept);
    const http = new ProtectedHttpApi(this, 'HttpApi', kept);
    for (const api of [rest, http]) {
      api.addRoute('GET /returns', { scopes: ['returns:read'], handler });
      api.addRoute('POST /returns', { scopes: ['returns:write'], handler });
    }
    new CfnOutput(this, 'ReturnsRestApiUrl', { value: rest.url });
    new CfnOutput(this, 'ReturnsHttpApiUrl', { value: http.url });
  }
}
