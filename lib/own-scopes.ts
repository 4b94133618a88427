/** What the scopes of the management API mean, for people. A test compares them with the operations. */
export const ownScopes: Record<string, string> = {
  'api-keys:compromise': 'End leaked API keys and all that came from them',
  'api-keys:create': 'Make API keys, with scopes that the calling key holds itself',
  'api-keys:read': 'Read API keys, their lineage and their events; never their text',
  'api-keys:update': 'Change names, metadata, scopes and ends of API keys',
  'api-keys:rotate': 'Give API keys successors, and take rotations back',
  'api-keys:revoke': 'End API keys at once',
  'api-keys:verify': 'Ask whether a presented API key is valid',
  'apis:manage': 'Register APIs: their routes and the scopes they need',
  'apis:read': 'Read which APIs are registered',
  'events:replay': 'Send recorded events over the bus again',
  'scopes:read': 'List every known scope, and who needs it',
  'status:read': 'Read how fast revocations take effect, and whether everything keeps up',
  'webhooks:manage': 'Register, change, test and delete webhook endpoints',
  'webhooks:read': 'Read webhook endpoints and their deliveries',
};
