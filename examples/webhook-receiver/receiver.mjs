// Receives webhooks of Rekey, checks who sent them, and prints each event once.
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const { SECRET, PORT = '4444', CLOCK_AHEAD_SECONDS = '0' } = process.env;
const webhook = new Webhook(SECRET);
const seen = new Set();
// Only for a laptop stack whose clock was moved: the library compares the time of a signature with ours.
const now = Date.now;
Date.now = () => now() + Number(CLOCK_AHEAD_SECONDS) * 1000;

createServer(async (request, response) => {
  try {
    const body = Buffer.concat(await request.toArray());
    const { id, type, api_key_id, data } = webhook.verify(body, request.headers);
    if (!seen.has(id))
      console.log(type, api_key_id ?? '', data.days_left ? `${data.days_left} days left` : '');
    seen.add(id);
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(400).end(error.message);
  }
}).listen(Number(PORT), '127.0.0.1', () => console.log(`receiving at http://127.0.0.1:${PORT}`));
