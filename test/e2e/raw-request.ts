import { request } from 'node:http';

/**
 * A request whose path and headers go out exactly as they stand here, duplicates and all.
 *
 * @param base the API's URL, with its stage if it has one
 * @param headers names and values in turn
 */
export const rawRequest = (
  base: string,
  path: string,
  headers: string[],
  method = 'GET',
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> =>
  new Promise((resolve, reject) => {
    const { hostname, port, host, pathname } = new URL(base);
    const call = request(
      {
        host: hostname,
        port,
        path: (pathname === '/' ? '' : pathname) + path,
        method,
        headers: ['host', host, ...headers],
      },
      (response) => {
        let body = '';
        response.on('data', (part) => {
          body += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
        );
      },
    );
    call.on('error', reject);
    call.end();
  });
