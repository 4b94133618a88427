import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import aws4 from 'aws4';

const hmac = (key: string | Buffer | KeyObject, text: string) => createHmac('sha256', key).update(text);

type Headers = Record<string, string | number>;

/**
 * Makes a signer of requests to AWS. It is aws4, but for the key that Signature Version 4 derives from the secret for a day, a
 * Region and a service: aws4 keeps that as bytes, of which Node makes a key object at each signature, and that takes
 * longer than all the rest of it (docs/performance.md). Here the object is kept: one, since a function has one set of
 * credentials at a time.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 *
 * @returns the headers to send
 */
export function createRequestSigner() {
  let kept: { name: string; key: KeyObject } | undefined;

  class Signer extends aws4.RequestSigner {
    override signature(): string {
      const secret = String(this.credentials.secretAccessKey);
      const scope = [this.getDate(), this.region, this.service, 'aws4_request'];
      const name = [secret, ...scope].join('\n');
      if (kept?.name !== name) {
        const derived = scope.reduce<string | Buffer>(
          (key, part) => hmac(key, part).digest(),
          `AWS4${secret}`,
        );
        kept = { name, key: createSecretKey(derived as Buffer) };
      }
      return hmac(kept.key, this.stringToSign()).digest('hex');
    }
  }

  return (request: aws4.Request, credentials: aws4.Credentials): Headers =>
    new Signer(request, credentials).sign().headers as Headers;
}
