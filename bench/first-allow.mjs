/** Loads a bundle, asks it once, and says whether it allowed: `node first-allow.mjs <bundle> <event as JSON>`. */
const [, , bundle, event] = process.argv;
const { handler } = await import(bundle);
const { policyDocument } = await handler(JSON.parse(event), {});
if (policyDocument.Statement[0].Effect !== 'Allow') throw new Error('the first request was not allowed');
process.stdout.write('allowed\n');
process.exit(0);
