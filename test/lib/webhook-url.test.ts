import { describe, expect, it } from '@jest/globals';
import { checkWebhookUrl, isPublicAddress, readWebhookUrl, type UrlRefused } from '../../lib/webhook-url.ts';

const PUBLIC = '93.184.215.14';
const ruleOf = (deed: () => unknown): string => {
  try {
    deed();
    return 'accepted';
  } catch (error) {
    return (error as UrlRefused).rule;
  }
};
const read = (url: string, allowLoopbackHttp = false) =>
  ruleOf(() => readWebhookUrl(url, { allowLoopbackHttp }));
const check = (url: string, addresses: string[] | Error, allowLoopbackHttp = false) =>
  checkWebhookUrl(url, {
    allowLoopbackHttp,
    resolve: async () => {
      if (addresses instanceof Error) throw addresses;
      return addresses;
    },
  }).catch((error: UrlRefused) => error.rule);

describe('the URL of a webhook', () => {
  it.each([
    'https://hooks.example.com',
    'https://hooks.example.com/a/b?c=d',
    'https://hooks.example.com:443/',
    'https://hooks.example.com:1024/',
    'https://hooks.example.com:65535/',
    `https://${PUBLIC}/`,
    'https://[2606:4700:4700::1111]/',
    'HTTPS://Hooks.Example.COM/',
    'https://bücher.example/',
  ])('may be %s', (url) => {
    expect(read(url)).toBe('accepted');
  });

  it.each([
    ['http://hooks.example.com/', 'https_only'],
    ['ftp://hooks.example.com/', 'https_only'],
    ['ws://hooks.example.com/', 'https_only'],
    ['file:///etc/passwd', 'url'],
    ['javascript:alert(1)', 'url'],
    ['data:text/plain,x', 'url'],
    ['/relative', 'url'],
    ['', 'url'],
    ['https://', 'url'],
    ['https://a b/', 'url'],
    ['https://hooks.example.com:99999/', 'url'],
    [`https://hooks.example.com/${'x'.repeat(2048)}`, 'url'],
    ['https://user@hooks.example.com/', 'no_user_info'],
    ['https://user:secret@hooks.example.com/', 'no_user_info'],
    ['https://:secret@hooks.example.com/', 'no_user_info'],
    ['https://hooks.example.com@127.0.0.1/', 'no_user_info'],
    ['https://hooks.example.com/#part', 'no_fragment'],
    ['https://hooks.example.com/#', 'no_fragment'],
    ['https://hooks.example.com:80/', 'port'],
    ['https://hooks.example.com:22/', 'port'],
    ['https://hooks.example.com:1023/', 'port'],
    ['https://hooks.example.com:0/', 'port'],
  ])('may not be %s', (url, rule) => {
    expect(read(url)).toBe(rule);
  });

  it.each([
    // Loopback, in every notation that a URL parser or inet_aton knows.
    ...['127.0.0.1', '127.1', '127.0.1', '0x7f.0.0.1', '0x7f.1', '0x7f000001', '0X7F000001', '2130706433'],
    ...['0177.0.0.1', '0177.1', '017700000001', '127.0.0.1.', '127.255.255.254', '%31%32%37.0.0.1'],
    ...['127。0。0。1', '１２７.0.0.1', '①②⑦.0.0.1', '127.0.0.0x1', '00000177.0x0.0.1'],
    // This network, private, CGNAT, link-local with the metadata of EC2, ECS and others.
    ...['0.0.0.0', '0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '012.1', '0xa000001', '172.16.0.1'],
    ...['172.31.255.255', '192.168.0.1', '0xc0a80001', '3232235521', '100.64.0.1', '100.127.255.255'],
    ...[
      '100.100.100.200',
      '169.254.169.254',
      '169.254.170.2',
      '0xa9fea9fe',
      '2852039166',
      '0251.0376.0251.0376',
    ],
    ...['169.254.43518', '169.16689662', '168.63.129.16', '192.0.0.192', '192.0.0.1'],
    // Documentation, benchmarks, 6to4 relays, multicast, reserved, broadcast.
    ...['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '198.19.255.255', '192.88.99.1'],
    ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255', '4294967295', '0xffffffff'],
    // IPv6: unspecified, loopback, link-local, site-local, unique local with the metadata of EC2, multicast.
    ...['[::]', '[::1]', '[0:0:0:0:0:0:0:1]', '[0000:0000::0001]', '[fe80::1]', '[febf::1]', '[fec0::1]'],
    ...['[fc00::1]', '[fd00:ec2::254]', '[fd20:ce::254]', '[ff02::1]', '[ff0e::1]'],
    // IPv4 inside of IPv6: mapped, compatible, translated, 6to4, NAT64 (well known and local), Teredo, ISATAP.
    ...['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::ffff:93.184.215.14]', '[::FFFF:169.254.169.254]'],
    ...['[::127.0.0.1]', '[::7f00:1]', '[::93.184.215.14]', '[::ffff:0:127.0.0.1]', '[2002:7f00:1::]'],
    ...['[2002:a9fe:a9fe::1]', '[64:ff9b::127.0.0.1]', '[64:ff9b::a9fe:a9fe]', '[64:ff9b:1::a00:1]'],
    ...['[2001::1]', '[2001:0:4136:e378:8000:63bf:3fff:fdd2]', '[fe80::5efe:127.0.0.1]'],
    // Discard, documentation, benchmarks, ORCHID, SRv6, and what nobody has been given.
    ...['[100::1]', '[2001:db8::1]', '[3fff::1]', '[2001:2::1]', '[2001:10::1]', '[2001:20::1]', '[5f00::1]'],
    ...['[4000::1]', '[1::1]', '[e000::1]'],
  ])('may not have the address %s', (host) => {
    expect(read(`https://${host}/`)).toBe('public_address');
  });

  it('has the one spelling of its parser, which is what is stored', async () => {
    expect(await check('HTTPS://Hooks.Example.com:443/a/../b', [PUBLIC])).toBe('https://hooks.example.com/b');
    expect(await check('https://hooks.exa\tmple.com', [PUBLIC])).toBe('https://hooks.example.com/');
  });

  it('has a name with public addresses only', async () => {
    const url = 'https://hooks.example.com/';
    expect(await check(url, [PUBLIC, '2606:4700:4700::1111'])).toBe(url);
    expect(await check(url, [PUBLIC, '10.0.0.1'])).toBe('public_address');
    expect(await check(url, ['::1', PUBLIC])).toBe('public_address');
    expect(await check(url, ['fe80::1%eth0'])).toBe('public_address');
    expect(await check(url, ['no address'])).toBe('public_address');
    expect(await check(url, [])).toBe('known_host');
    expect(await check(url, new Error('SERVFAIL'))).toBe('known_host');
    expect(await check('https://localhost/', ['127.0.0.1'])).toBe('public_address');
    expect(await check('https://metadata.google.internal/', ['169.254.169.254'])).toBe('public_address');
  });
});

describe('the laptop stack', () => {
  it.each([
    'http://127.0.0.1:4000/',
    'http://127.0.0.1',
    'http://127.0.0.1:80/hook?a=b',
    'http://127.0.0.1?a',
  ])('also takes %s', async (url) => {
    expect(read(url, true)).toBe('accepted');
    expect(await check(url, new Error('asks nobody'), true)).toMatch(/^http:\/\/127\.0\.0\.1/);
    expect(read(url)).toBe('https_only');
  });

  it.each([
    ['https://127.0.0.1/', 'public_address'],
    ['https://127.0.0.1:4000/', 'public_address'],
    ['http://127.0.0.2:4000/', 'https_only'],
    ['http://127.1:4000/', 'https_only'],
    ['http://2130706433:4000/', 'https_only'],
    ['http://127.0.0.1.:4000/', 'https_only'],
    ['http://127.0.0.1.example.com/', 'https_only'],
    ['http://127.0.0.1\\@example.com/', 'https_only'],
    ['http://127.0.0.1@example.com/', 'no_user_info'],
    ['http://127.0.0.1:80@example.com/', 'no_user_info'],
    ['http://user@127.0.0.1:4000/', 'no_user_info'],
    ['http://localhost:4000/', 'https_only'],
    ['http://[::1]:4000/', 'https_only'],
    ['http://[::ffff:127.0.0.1]:4000/', 'https_only'],
    ['http://0.0.0.0:4000/', 'https_only'],
    ['http://10.0.0.1:4000/', 'https_only'],
    ['https://192.168.0.1/', 'public_address'],
    ['http://hooks.example.com/', 'https_only'],
  ])('does not take %s', (url, rule) => {
    expect(read(url, true)).toBe(rule);
  });
});

describe('a public address', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.15.255.255',
    '172.32.0.1',
    '100.63.255.255',
    '100.128.0.1',
    '9.255.255.255',
  ])('is %s', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
  it.each(['2606:4700::1', '2a00:1450:4001::1', '2400:cb00::1'])('is %s', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
  it.each(['', 'example.com', '127.1', '0x7f.0.0.1', '1.1.1', '1.1.1.1.1', '::ffff:1.1.1.1', '[::1]'])(
    'is not %j',
    (address) => {
      expect(isPublicAddress(address)).toBe(false);
    },
  );
});
