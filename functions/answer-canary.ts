/** What the canary's APIs answer to whom they let in. */
export const handler = async () => ({ statusCode: 204, headers: { 'cache-control': 'no-store' } });
