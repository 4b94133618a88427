// Receives webhooks of Rekey, checks who sent them, and prints them: SECRET=whsec_… PORT=4444 node receiver.mjs
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.env.SECRET);
const seen = new Set();

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  try {
    const event = webhook.verify(Buffer.concat(chunks), request.headers);
    if (!seen.has(event.id))
      console.log(event.type, event.api_key_id ?? event.webhook_endpoint_id, event.data.days_left ?? '');
    seen.add(event.id);
    response.writeHead(204).end();
  } catch (error) {
    console.error(error.message);
    response.writeHead(400).end();
  }
}).listen(process.env.PORT ?? 4444, '127.0.0.1', function () {
  console.log(`receiving at http://127.0.0.1:${this.address().port}`);
});
