import { AwsError } from './aws-error.ts';
import { type AwsCall, type AwsService, type Principal, type Question, sessionArn } from './aws-front.ts';
import { newCredentials } from './credentials.ts';
import type { DeployedResource } from './resource.ts';
import { policiesOf, roleOf } from './roles.ts';

/** Seconds. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
const SHORTEST_SESSION = 900;
const DEFAULT_SESSION = 3_600;
/** A role that assumes another one ("role chaining") gets no longer session, whatever that one's own limit is. */
const LONGEST_CHAINED_SESSION = 3_600;

/** Sessions that are remembered; the oldest go first. */
const MOST_SESSIONS = 1_000;

const VERSION = '2011-06-15';
const FORMS = {
  RoleArn: /^arn:aws:iam::\d{12}:role\/[\w+=,.@/-]{1,576}$/,
  RoleSessionName: /^[\w+=,.@-]{2,64}$/,
  ExternalId: /^[\w+=,.@:/-]{2,1224}$/,
  DurationSeconds: /^\d{1,5}$/,
};
/** Others, like a session policy, would change what the session may do: none is left out in silence. */
const KNOWN = ['Action', 'Version', ...Object.keys(FORMS)];

const invalid = (message: string): AwsError => new AwsError('ValidationException', message);

interface Request {
  roleArn: string;
  sessionName: string;
  seconds: number;
  externalId: string | undefined;
}

/** @throws AwsError for what AWS or the laptop stack does not take */
function read(input: AwsCall['input']): Request {
  if (input['Version'] !== VERSION) {
    throw new AwsError(
      'UnknownOperationException',
      `Could not find operation AssumeRole for version ${String(input['Version'])}`,
    );
  }
  const unknown = Object.keys(input).filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) throw invalid(`The laptop stack does not know ${unknown.join(', ')} of AssumeRole`);
  for (const [name, form] of Object.entries(FORMS)) {
    const isOptional = name === 'ExternalId' || name === 'DurationSeconds';
    if (input[name] === undefined && isOptional) continue;
    if (!form.test(String(input[name] ?? '')))
      throw invalid(`1 validation error detected: Value at '${name}' failed to satisfy constraint: ${form}`);
  }
  return {
    roleArn: String(input['RoleArn']),
    sessionName: String(input['RoleSessionName']),
    seconds: Number(input['DurationSeconds'] ?? DEFAULT_SESSION),
    externalId: input['ExternalId'] as string | undefined,
  };
}

/** @throws AwsError */
function checkDuration(seconds: number, role: DeployedResource): void {
  const longest = Number(role.properties['MaxSessionDuration'] ?? DEFAULT_SESSION);
  if (seconds < SHORTEST_SESSION)
    throw invalid(
      `1 validation error detected: Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to ${SHORTEST_SESSION}`,
    );
  if (seconds > longest)
    throw invalid('The requested DurationSeconds exceeds the MaxSessionDuration set for this role.');
  if (seconds > LONGEST_CHAINED_SESSION)
    throw invalid(
      'The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining',
    );
}

export interface Sts extends AwsService {
  /** Whose temporary credentials these are, as long as they are remembered. */
  principal(accessKeyId: string): Principal | undefined;
}

/**
 * AWS STS, as far as our functions need it: a role of the templates, of whichever account, is assumed. The caller's
 * policies and the role's trust policy are asked together.
 *
 * @param resources everything deployed; read at each use, so it may grow
 * @param now the stack's clock, in ms
 */
export function startSts({ resources, now }: { resources: readonly DeployedResource[]; now(): number }): Sts {
  const sessions = new Map<string, Omit<Principal, 'policies'>>();

  function questions({ operation, input, principal }: AwsCall): Question[] | undefined {
    if (operation !== 'AssumeRole') return undefined;
    const { roleArn, sessionName, externalId } = read(input);
    const role = roleOf(roleArn, resources);
    if (role === undefined) {
      // In no other words than for one that may not be assumed: nobody learns which roles an account has.
      throw new AwsError(
        'AccessDeniedException',
        `User: ${sessionArn(principal)} is not authorized to perform: sts:AssumeRole on resource: ${roleArn} because no identity-based policy or role trust policy allows the sts:AssumeRole action`,
      );
    }
    return [
      {
        action: 'sts:AssumeRole',
        resource: roleArn,
        resourcePolicy: role.properties['AssumeRolePolicyDocument'],
        context: {
          'sts:RoleSessionName': sessionName,
          ...(externalId !== undefined && { 'sts:ExternalId': externalId }),
        },
      },
    ];
  }

  async function handle({ input }: AwsCall) {
    const { roleArn, sessionName, seconds } = read(input);
    const role = roleOf(roleArn, resources)!;
    checkDuration(seconds, role);
    const credentials = newCredentials();
    // Seconds, as the answer has them.
    const expiresAt = Math.floor(now() / 1000 + seconds) * 1000;
    const session = { ...credentials, roleArn, sessionName, expiresAt };
    sessions.set(credentials.accessKeyId, session);
    if (sessions.size > MOST_SESSIONS) sessions.delete(sessions.keys().next().value!);
    return {
      AssumedRoleUser: {
        AssumedRoleId: `${role.attributes['RoleId']}:${sessionName}`,
        Arn: sessionArn({ ...session, policies: [] }),
      },
      Credentials: {
        AccessKeyId: credentials.accessKeyId,
        SecretAccessKey: credentials.secretAccessKey,
        SessionToken: credentials.sessionToken,
        Expiration: new Date(expiresAt).toISOString().replace('.000Z', 'Z'),
      },
    };
  }

  return {
    name: 'sts',
    protocol: { kind: 'query', namespace: `https://sts.amazonaws.com/doc/${VERSION}/` },
    questions,
    handle,
    principal(accessKeyId) {
      const session = sessions.get(accessKeyId);
      return session && { ...session, policies: policiesOf(session.roleArn, resources) };
    },
  };
}
