const KEY_SCOPE = { orders: ['read'] };

/**
 * better-auth's `verifyApiKey` on its memory adapter, with a permission to check and its rate limit off. The package
 * is not one of this product's: `npm ci --prefix bench/better-auth`.
 */
export async function loadBetterAuth(): Promise<{ verify: () => Promise<unknown> } | { skipped: string }> {
  // Names in variables: the packages may not be there when types are checked.
  const [core, adapter, plugins] = ['better-auth', 'better-auth/adapters/memory', 'better-auth/plugins'];
  try {
    const { betterAuth } = await import(core as string);
    const { memoryAdapter } = await import(adapter as string);
    const { apiKey } = await import(plugins as string);
    const auth = betterAuth({
      baseURL: 'http://127.0.0.1',
      secret: 'only-for-a-measurement-on-this-machine',
      database: memoryAdapter({ user: [], session: [], account: [], verification: [], apikey: [] }),
      emailAndPassword: { enabled: true },
      plugins: [apiKey({ rateLimit: { enabled: false } })],
      telemetry: { enabled: false },
    });
    const { user } = await auth.api.signUpEmail({
      body: { email: 'bench@example.com', password: 'only-for-a-measurement', name: 'Bench' },
    });
    const { key } = await auth.api.createApiKey({ body: { userId: user.id, permissions: KEY_SCOPE } });
    const verify = async () => {
      const { valid } = await auth.api.verifyApiKey({ body: { key, permissions: KEY_SCOPE } });
      if (!valid) throw new Error('better-auth refused its own key');
    };
    await verify();
    return { verify };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return { skipped: 'better-auth is not installed: npm ci --prefix bench/better-auth' };
  }
}
