import WebSocket from 'ws';

/** Opens a WebSocket. @returns it, or the status with which it was refused */
export const openSocket = (url: string, headers: Record<string, string> = {}): Promise<WebSocket | number> =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers });
    socket.once('open', () => resolve(socket));
    socket.once('unexpected-response', (_, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.once('error', reject);
  });
