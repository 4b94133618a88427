import { connect } from 'node:net';

/**
 * Sends bytes as they stand here, and gives what comes back until the server closes or has been silent for a while.
 *
 * @param text `latin1`: one character is one byte
 * @param first for how many milliseconds the server may be silent at first
 * @param quiet and after it has said something
 */
export const exchangeRaw = (port: number, text: string, { first = 300, quiet = 300 } = {}): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    socket.setTimeout(first, () => socket.destroy());
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      socket.setTimeout(quiet);
    });
    socket.on('close', () => resolve(received));
    // A server that resets the connection has refused it, too.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.write(text, 'latin1');
  });
