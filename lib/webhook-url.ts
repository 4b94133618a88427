import ipaddr from 'ipaddr.js';

/** What a webhook's URL must be. Their names are in the answers: docs/problems.md lists them. */
export type UrlRule =
  | 'url'
  | 'https_only'
  | 'no_user_info'
  | 'no_fragment'
  | 'port'
  | 'known_host'
  | 'public_address';

/** The words for each rule: what to change. */
export const urlRules: Record<UrlRule, string> = {
  url: 'Send an absolute URL such as https://hooks.example.com/rekey, of at most 2048 characters.',
  https_only: 'Use https.',
  no_user_info:
    'Leave out the user name and the password: who receives a webhook verifies its signature instead.',
  no_fragment: 'Leave out the part after #: it is never sent.',
  port: 'Use port 443, or one from 1024 up.',
  known_host: 'The host name has no address. Check its spelling, and that DNS knows it.',
  public_address:
    'Use a host with public addresses only: one of its addresses is private, local or reserved.',
};

const LONGEST_URL = 2_048;
const FIRST_UNPRIVILEGED_PORT = 1_024;
/** What the laptop stack lets through besides: a receiver on this machine. */
const LOOPBACK_RECEIVER = /^http:\/\/127\.0\.0\.1(?::\d{1,5})?(?:[/?]|$)/;

export class UrlRefused extends Error {
  override name = 'UrlRefused';
  readonly rule: UrlRule;
  constructor(rule: UrlRule) {
    super(urlRules[rule]);
    this.rule = rule;
  }
}

/** Global unicast; everything else in IPv6 is local, reserved, or IPv4 in another form (RFC 4291, section 2.4). */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
/** Azure's host serves metadata at this public address. */
const METADATA = new Set(['168.63.129.16']);

/**
 * Whether webhooks may be sent to this address. The ranges are ipaddr.js's; what it calls `unicast` belongs to no
 * special one. IPv4 inside of IPv6 (mapped, compatible, 6to4, NAT64, Teredo) is never public, whatever it holds.
 *
 * @param address as a resolver gives it: no brackets
 */
export function isPublicAddress(address: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(address))
    return ipaddr.IPv4.parse(address).range() === 'unicast' && !METADATA.has(address);
  if (!ipaddr.IPv6.isValid(address)) return false;
  const ipv6 = ipaddr.IPv6.parse(address);
  return ipv6.range() === 'unicast' && ipv6.match(GLOBAL_UNICAST);
}

const isLiteral = (hostname: string): boolean =>
  hostname.startsWith('[') || ipaddr.IPv4.isValidFourPartDecimal(hostname);

const withoutBrackets = (hostname: string): string => hostname.replace(/^\[|\]$/g, '');

/**
 * Reads a webhook's URL and refuses it for what can be seen without asking DNS. WHATWG's parser has the one spelling
 * of an address for each that people know (`0x7f.1`, `017700000001`, `2130706433`), so no notation gets around it.
 *
 * @param allowLoopbackHttp `http://127.0.0.1` in this spelling as well, for the laptop stack
 * @throws UrlRefused
 */
export function readWebhookUrl(text: string, { allowLoopbackHttp }: { allowLoopbackHttp: boolean }): URL {
  const url = text.length <= LONGEST_URL ? URL.parse(text) : null;
  if (!url || url.hostname === '') throw new UrlRefused('url');
  if (url.username !== '' || url.password !== '') throw new UrlRefused('no_user_info');
  if (text.includes('#')) throw new UrlRefused('no_fragment');
  if (allowLoopbackHttp && LOOPBACK_RECEIVER.test(text) && url.hostname === '127.0.0.1') return url;
  if (url.protocol !== 'https:') throw new UrlRefused('https_only');
  // Empty: 443, the default of https.
  if (url.port !== '' && Number(url.port) < FIRST_UNPRIVILEGED_PORT) throw new UrlRefused('port');
  if (isLiteral(url.hostname) && !isPublicAddress(withoutBrackets(url.hostname)))
    throw new UrlRefused('public_address');
  return url;
}

/** Gives the addresses of a host name, of both families; none, where DNS knows none. */
export type Resolve = (hostname: string) => Promise<string[]>;

/**
 * The addresses to connect to. All must be public: a host with one that is not is refused as a whole.
 *
 * @throws UrlRefused
 */
export async function publicAddresses(hostname: string, resolve: Resolve): Promise<string[]> {
  const addresses = await resolve(hostname);
  if (addresses.length === 0) throw new UrlRefused('known_host');
  if (!addresses.every(isPublicAddress)) throw new UrlRefused('public_address');
  return addresses;
}

/**
 * Checks a URL that somebody registers, its addresses included.
 *
 * @returns the URL in its one spelling
 * @throws UrlRefused
 */
export async function checkWebhookUrl(
  text: string,
  { allowLoopbackHttp, resolve }: { allowLoopbackHttp: boolean; resolve: Resolve },
): Promise<string> {
  const url = readWebhookUrl(text, { allowLoopbackHttp });
  // A name that DNS cannot tell of now is refused like one that it does not know: whoever registers it tries again.
  if (url.protocol === 'https:' && !isLiteral(url.hostname))
    await publicAddresses(url.hostname, (hostname) => resolve(hostname).catch(() => []));
  return url.href;
}
