import { SecretsManager } from '@aws-sdk/client-secrets-manager';

const secrets = new SecretsManager();
let key: string | undefined;

/** Counts the orders, with the key that is in the secret. It is read again when it does not work any more. */
export const handler = async (): Promise<{ orders: number }> => {
  let answer = await getOrders();
  if (answer.status === 401) {
    key = undefined;
    answer = await getOrders();
  }
  if (!answer.ok) throw new Error(`the orders API answered ${answer.status}`);
  const { data } = (await answer.json()) as { data: unknown[] };
  return { orders: data.length };
};

async function getOrders(): Promise<Response> {
  key ??= await readKey();
  const url = `${process.env['ORDERS_API_URL']?.replace(/\/$/, '')}/orders`;
  return fetch(url, { headers: { 'x-api-key': key }, redirect: 'error', signal: AbortSignal.timeout(5_000) });
}

async function readKey(): Promise<string> {
  const { SecretString } = await secrets.getSecretValue({ SecretId: process.env['ORDERS_KEY_SECRET_ARN'] });
  return (JSON.parse(SecretString ?? '{}') as { key: string }).key;
}
