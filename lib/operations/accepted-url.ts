import { allowLoopbackHttpWebhooks } from '../environment.ts';
import { WebhookUrlRefused } from '../problem.ts';
import { resolveName } from '../webhook-request.ts';
import { checkWebhookUrl, type Resolve, UrlRefused } from '../webhook-url.ts';

/**
 * The URL that somebody registers, in its one spelling.
 *
 * @throws WebhookUrlRefused naming the rule
 */
export async function acceptedUrl(text: string, resolve: Resolve = resolveName): Promise<string> {
  try {
    return await checkWebhookUrl(text, { allowLoopbackHttp: allowLoopbackHttpWebhooks(), resolve });
  } catch (error) {
    if (error instanceof UrlRefused) throw new WebhookUrlRefused(error.rule, error.message);
    throw error;
  }
}
