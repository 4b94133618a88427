import { APIGatewayClient, FlushStageAuthorizersCacheCommand } from '@aws-sdk/client-api-gateway';
import { ApiGatewayV2Client, ResetAuthorizersCacheCommand } from '@aws-sdk/client-apigatewayv2';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import type { Stage } from './stage.ts';

/** Milliseconds. A call that takes longer is given up: whoever waits is told `pending`. */
const CONNECTION_TIMEOUT = 1_000;
const REQUEST_TIMEOUT = 1_500;
/** What AWS allows at least, in seconds; a session is made anew a minute before its end. */
const SESSION_SECONDS = 900;
const SESSION_RESERVE_MS = 60_000;

/** Forgets all that the authorizers of a stage have answered. @throws what API Gateway or STS say */
export type FlushCache = (stage: Stage) => Promise<void>;

interface Session {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  expiration: Date;
}

// One attempt: how often it is tried again, and when, is for lib/flush.ts to say, for all who ask together.
const settings = {
  maxAttempts: 1,
  requestHandler: {
    connectionTimeout: CONNECTION_TIMEOUT,
    requestTimeout: REQUEST_TIMEOUT,
    throwOnRequestTimeout: true,
  },
};

/**
 * The caches of the authorizers in API Gateway's control plane: of REST APIs FlushStageAuthorizersCache, of HTTP APIs
 * ResetAuthorizersCache. There is no call for one key. Stages of another account are reached by the role that their
 * registration names, with the API's id as the external id, so that a role serves no other API.
 */
export function openAuthorizerCaches(): FlushCache {
  const sts = new STSClient(settings);
  const sessions = new Map<string, Promise<Session>>();
  const clients = new Map<string, { rest: APIGatewayClient; http: ApiGatewayV2Client }>();

  const assume = async (role: string, apiId: string): Promise<Session> => {
    const { Credentials } = await sts.send(
      new AssumeRoleCommand({
        RoleArn: role,
        RoleSessionName: 'rekey-flush',
        ExternalId: `rekey-${apiId}`,
        DurationSeconds: SESSION_SECONDS,
      }),
    );
    const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials ?? {};
    if (!AccessKeyId || !SecretAccessKey || !SessionToken) throw new Error('STS gave no credentials');
    return {
      accessKeyId: AccessKeyId,
      secretAccessKey: SecretAccessKey,
      sessionToken: SessionToken,
      expiration: Expiration ?? new Date(Date.now() + SESSION_SECONDS * 1000),
    };
  };

  const sessionOf = async (role: string, apiId: string): Promise<Session> => {
    const name = `${role} ${apiId}`;
    const made = await sessions.get(name)?.catch(() => undefined);
    if (made && made.expiration.getTime() - SESSION_RESERVE_MS > Date.now()) return made;
    const making = assume(role, apiId);
    sessions.set(name, making);
    return making;
  };

  const clientsOf = ({ role_arn, api_id, region }: Stage) => {
    const name = `${role_arn} ${api_id} ${region}`;
    const made = clients.get(name);
    if (made) return made;
    const config = {
      ...settings,
      region,
      ...(role_arn !== null && { credentials: () => sessionOf(role_arn, api_id) }),
    };
    const both = { rest: new APIGatewayClient(config), http: new ApiGatewayV2Client(config) };
    clients.set(name, both);
    return both;
  };

  return async (stage) => {
    const { rest, http } = clientsOf(stage);
    if (stage.kind === 'rest')
      await rest.send(
        new FlushStageAuthorizersCacheCommand({ restApiId: stage.api_id, stageName: stage.stage }),
      );
    else await http.send(new ResetAuthorizersCacheCommand({ ApiId: stage.api_id, StageName: stage.stage }));
  };
}

let opened: FlushCache | undefined;

/** As the environment's role may, opened once in a process. */
export const flushAuthorizerCache: FlushCache = (stage) => {
  opened ??= openAuthorizerCaches();
  return opened(stage);
};

/** API Gateway does not know the stage, so nothing is kept for it. */
export const isGone = (error: unknown): boolean => (error as Error).name === 'NotFoundException';

/** The control plane has too much to do, for whoever asks. */
export const isThrottled = (error: unknown): boolean =>
  ['TooManyRequestsException', 'ThrottlingException', 'Throttling', 'RequestLimitExceeded'].includes(
    (error as Error).name,
  );
