// Receives webhooks of Rekey, checks who sent them, and prints each event once.
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const { WEBHOOK_SECRET, PORT = '8090' } = process.env;
const webhook = new Webhook(WEBHOOK_SECRET);
const seen = new Set();

createServer(async (request, response) => {
  try {
    const body = Buffer.concat(await request.toArray());
    const { id, type, api_key_id, webhook_endpoint_id, data } = webhook.verify(body, request.headers);
    const left = data.days_left === undefined ? '' : ` days_left ${data.days_left}`;
    if (!seen.has(id)) console.log(`${type} ${api_key_id ?? webhook_endpoint_id}${left}`);
    seen.add(id);
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(400).end(error.message);
  }
}).listen(Number(PORT), '127.0.0.1', () => console.log(`receiving at http://127.0.0.1:${PORT}`));
