/** API Gateway's REST APIs on a laptop: docs/api-gateway-on-the-laptop.md says case by case what and why. */
export { apiGatewayService } from './control-plane.ts';
export { type ApiGatewayInput, describeRestApis, type RestApiModel } from './model.ts';
export { type ServedApi, serveRestApi } from './server.ts';
export { supported } from './supported.ts';
