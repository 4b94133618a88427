import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { answerCustomResource } from '../../lib/custom-resource.ts';

const event = {
  RequestType: 'Create',
  ResponseURL: 'https://cloudformation.example/answer?signature=abc',
  StackId: 'arn:aws:cloudformation:us-east-1:123456789012:stack/Orders/1',
  RequestId: 'request-1',
  LogicalResourceId: 'Routes',
} as CloudFormationCustomResourceEvent;
const context = { logStreamName: 'stream-1', awsRequestId: 'invocation-1' };

describe('the answer of a custom resource', () => {
  let sent: { url: string; init: RequestInit }[];
  let answers: (number | Error)[];
  const send = (async (url: string, init: RequestInit) => {
    sent.push({ url, init });
    const answer = answers.shift() ?? 200;
    if (answer instanceof Error) throw answer;
    return new Response(null, { status: answer });
  }) as typeof fetch;
  const bodies = () => sent.map(({ init }) => JSON.parse(new TextDecoder().decode(init.body as Uint8Array)));

  beforeEach(() => {
    sent = [];
    answers = [];
    jest.spyOn(console, 'error').mockImplementation(() => {});
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  it('tells CloudFormation what was made', async () => {
    await answerCustomResource(event, context, async () => 'routes_a/b', send);
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ url: event.ResponseURL, init: { method: 'PUT' } });
    expect(bodies()[0]).toEqual({
      Status: 'SUCCESS',
      PhysicalResourceId: 'routes_a/b',
      StackId: event.StackId,
      RequestId: 'request-1',
      LogicalResourceId: 'Routes',
    });
  });

  it('has no content type, which the signature of the URL would have to cover', async () => {
    await answerCustomResource(event, context, async () => 'routes_a/b', send);
    const request = new Request(event.ResponseURL, sent[0]!.init);
    expect(request.headers.get('content-type')).toBeNull();
  });

  it('tells CloudFormation why it failed, and where to read on', async () => {
    const work = () => Promise.reject(new Error('Route "GET orders" must look like GET /orders/{id}'));
    await answerCustomResource(event, context, work, send);
    expect(bodies()[0]).toMatchObject({
      Status: 'FAILED',
      PhysicalResourceId: 'nothing',
      Reason:
        'Route "GET orders" must look like GET /orders/{id} (log stream stream-1, request invocation-1)',
    });
  });

  it('keeps the name of what could not be changed, so that nothing is given up', async () => {
    const update = { ...event, RequestType: 'Update', PhysicalResourceId: 'routes_a/old' };
    const work = () => Promise.reject(new Error('throttled'));
    await answerCustomResource(update as CloudFormationCustomResourceEvent, context, work, send);
    expect(bodies()[0]).toMatchObject({ Status: 'FAILED', PhysicalResourceId: 'routes_a/old' });
  });

  it('stays under what CloudFormation takes, however long the reason', async () => {
    const work = () => Promise.reject(new Error('x'.repeat(100_000)));
    await answerCustomResource(event, context, work, send);
    expect((sent[0]!.init.body as Uint8Array).byteLength).toBeLessThan(4096);
  });

  it('is sent again after a failure, and the work is not done again', async () => {
    answers = [new Error('reset'), 503, 200];
    const work = jest.fn(async () => 'routes_a/b');
    await answerCustomResource(event, context, work, send);
    expect(sent).toHaveLength(3);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('that never arrives is an error for Lambda to try again, without the signed URL', async () => {
    answers = [403, 403, 403];
    const done = answerCustomResource(event, context, async () => 'routes_a/b', send);
    await expect(done).rejects.toThrow('CloudFormation could not be told SUCCESS: status 403');
    await expect(done).rejects.not.toThrow('signature');
  });
});
