import type { ServedApi } from '../api-gateway/server.ts';
import { serveHttpApi } from './http-api.ts';
import type { ApiModel } from './model.ts';
import { serveWebSocketApi } from './web-socket-api.ts';

/** API Gateway's HTTP and WebSocket APIs on a laptop: docs/api-gateway-on-the-laptop.md says case by case what and why. */
export { type ApiModel, describeApis } from './model.ts';
export { supported } from './supported.ts';

export const serveApi = (model: ApiModel, port: number): Promise<ServedApi> =>
  model.protocol === 'HTTP' ? serveHttpApi(model, port) : serveWebSocketApi(model, port);
