import { setTimeout as sleep } from 'node:timers/promises';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';

/** Together well under the function's time-out: an answer that never comes holds a deployment up. */
const ATTEMPTS = 3;
const ATTEMPT_TIMEOUT_MS = 2000;
const PAUSE_MS = 200;
/** CloudFormation takes 4 KB in all. */
const LONGEST_REASON = 1000;

/** Physical id of what could not be created. CloudFormation will ask to delete it, and there is nothing to delete. */
const NOTHING = 'nothing';

const physicalIdOf = (event: CloudFormationCustomResourceEvent): string =>
  event.RequestType === 'Create' ? NOTHING : event.PhysicalResourceId;

/**
 * Does the work of a Lambda-backed custom resource and tells CloudFormation how it ended, also when it failed:
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
 *
 * @param work gives the physical id; what it throws is the reason that CloudFormation shows
 * @throws Error when CloudFormation could not be told, so that Lambda tries the whole again
 */
export async function answerCustomResource(
  event: CloudFormationCustomResourceEvent,
  context: { logStreamName: string; awsRequestId: string },
  work: () => Promise<string>,
  send: typeof fetch = fetch,
): Promise<void> {
  const { StackId, RequestId, LogicalResourceId } = event;
  const told = { StackId, RequestId, LogicalResourceId };
  let answer: Record<string, string>;
  try {
    answer = { ...told, Status: 'SUCCESS', PhysicalResourceId: await work() };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.error(JSON.stringify({ message: 'custom resource failed', request: event.RequestType, reason }));
    answer = {
      ...told,
      Status: 'FAILED',
      PhysicalResourceId: physicalIdOf(event),
      Reason: `${reason.slice(0, LONGEST_REASON)} (log stream ${context.logStreamName}, request ${context.awsRequestId})`,
    };
  }
  await tell(event.ResponseURL, answer, send);
}

async function tell(url: string, answer: Record<string, string>, send: typeof fetch): Promise<void> {
  // Bytes, not text: a text gets a content-type by itself, and the signature of the URL covers an empty one.
  const body = new TextEncoder().encode(JSON.stringify(answer));
  let problem = '';
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      const response = await send(url, {
        method: 'PUT',
        body,
        signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS),
      });
      if (response.ok) return;
      problem = `status ${response.status}`;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    if (attempt < ATTEMPTS) await sleep(PAUSE_MS * attempt);
  }
  // The URL is a credential: it is not repeated.
  throw new Error(`CloudFormation could not be told ${answer['Status']}: ${problem}`);
}
