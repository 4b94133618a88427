import { describe, expect, it } from '@jest/globals';
import { type AuthorizerEvent, routeRequestOf } from '../../lib/route-request.ts';
import { API_ID, authorizerEvent, connectEvent, httpAuthorizerEvent } from './authorizer-event.ts';

const of = (event: unknown) => routeRequestOf(event as AuthorizerEvent);

describe('the request of a route', () => {
  it('is read from a REST API', () => {
    expect(
      of(authorizerEvent({ resource: '/orders/{id}', path: '/orders/1', routesHash: 'h' })),
    ).toMatchObject({
      kind: 'rest',
      method: 'GET',
      resource: '/orders/{id}',
      routesHash: 'h',
      apiId: API_ID,
    });
  });

  it('is read from an HTTP API, by the route as declared', () => {
    const event = httpAuthorizerEvent({ route: 'ANY /orders/{id}', method: 'PUT', path: '/orders/1' });
    expect(of(event)).toMatchObject({
      kind: 'http',
      method: 'ANY',
      resource: '/orders/{id}',
      methodArn: `arn:aws:execute-api:us-east-1:000000000000:${API_ID}/$default/PUT/orders/1`,
      origin: { requestId: 'request-1', identity: { sourceIp: '192.0.2.1', userAgent: 'test' } },
    });
    expect(of(httpAuthorizerEvent({ route: '$default' }))).toMatchObject({
      method: '$default',
      resource: '',
    });
  });

  it('is read from the $connect of a WebSocket API', () => {
    expect(of(connectEvent({ headers: { a: ['b', 'c'] } }))).toMatchObject({
      kind: 'web_socket',
      method: '$connect',
      resource: '',
      headers: { a: ['b', 'c'] },
    });
  });

  it('says the stage where it keeps answers, and only there', () => {
    const kept = { stageVariables: { rekeyCacheHeader: 'x-api-key' } };
    expect(of({ ...authorizerEvent({}), ...kept })).toMatchObject({ keptStage: 'v1' });
    expect(of({ ...httpAuthorizerEvent({}), ...kept })).toMatchObject({ keptStage: '$default' });
    expect(of(authorizerEvent({}))).toMatchObject({ keptStage: undefined });
    expect(of(httpAuthorizerEvent({}))).toMatchObject({ keptStage: undefined });
  });

  const http = httpAuthorizerEvent({});
  const connect = connectEvent({});
  it.each([
    ['nothing', undefined],
    ['a TOKEN authorizer', { type: 'TOKEN', authorizationToken: 'x' }],
    ['an HTTP API’s payload 1.0', { ...authorizerEvent({}), version: '1.0', methodArn: undefined }],
    ['another API’s ARN', { ...http, routeArn: http.routeArn.replace(API_ID, 'other') }],
    ['another method', { ...http, requestContext: { ...http.requestContext, http: { method: 'POST' } } }],
    ['another route', { ...http, routeKey: 'POST /orders' }],
    ['an ARN that is none', { ...http, routeArn: 'GET/orders' }],
    ['no ARN', { ...http, routeArn: undefined }],
    ['a message of a WebSocket', { ...connect, methodArn: connect.methodArn.replace('$connect', 'send') }],
    ['another WebSocket API', { ...connect, methodArn: connect.methodArn.replace(API_ID, 'other') }],
    ['kept answers that the stage does not speak of', { ...http, identitySource: ['rk_live_x'] }],
    ['no context', { ...authorizerEvent({}), requestContext: undefined }],
  ])('is refused for %s', (_, event) => {
    expect(() => of(event)).toThrow(TypeError);
  });
});
