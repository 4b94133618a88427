/** `GET /health`, for everybody. */
export const handler = async () => ({ status: 'ok' });
