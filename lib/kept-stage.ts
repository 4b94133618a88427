/**
 * A stage that keeps answers, by all that a flush goes by: one that is registered as anything else than what it is would
 * be flushed elsewhere, where nothing is found, or not at all.
 */
export const keptStageName = (stage: {
  region: string;
  account: string;
  kind: 'rest' | 'http' | 'websocket';
  name: string;
}): string => `${stage.region}/${stage.account}/${stage.kind}/${stage.name}`;
