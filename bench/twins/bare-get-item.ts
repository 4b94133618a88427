/** The least that any authorizer with a table does: one signed GetItem over a kept connection, parsed. */
import { Agent, request } from 'node:http';
import aws4 from 'aws4';

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** @param input of GetItem, `TableName` included */
export function bareGetItem(input: object, env = process.env): Promise<{ Item?: unknown }> {
  const url = new URL(String(env['AWS_ENDPOINT_URL_DYNAMODB']));
  const body = JSON.stringify(input);
  const { headers } = aws4.sign(
    {
      service: 'dynamodb',
      region: String(env['AWS_REGION']),
      host: url.host,
      method: 'POST',
      path: '/',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'DynamoDB_20120810.GetItem' },
      body,
    },
    { accessKeyId: String(env['AWS_ACCESS_KEY_ID']), secretAccessKey: String(env['AWS_SECRET_ACCESS_KEY']) },
  );
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method: 'POST', agent, headers: headers as Record<string, string> },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
