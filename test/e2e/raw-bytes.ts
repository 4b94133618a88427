import { connect } from 'node:net';

/** After an answer, for how long another one may follow on a connection that stays open. */
const QUIET_MS = 400;
/** The first request of a function takes longer on a machine that is busy. */
const LONGEST_MS = 20_000;

/**
 * Sends bytes as they stand here, and gives the statuses of all answers that come back, in order.
 *
 * @param base the API's URL
 * @param bytes `latin1`: one character is one byte
 */
export const rawBytes = (base: string, bytes: string): Promise<number[]> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(base);
    const socket = connect(Number(port), hostname, () => socket.write(Buffer.from(bytes, 'latin1')));
    let received = '';
    let timer = setTimeout(() => end(), LONGEST_MS);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve([...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)));
    };
    socket.on('data', (part) => {
      received += part.toString('latin1');
      clearTimeout(timer);
      timer = setTimeout(end, QUIET_MS);
    });
    socket.on('close', end);
    // A server that resets the connection has refused it, too.
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? end() : reject(error),
    );
  });
