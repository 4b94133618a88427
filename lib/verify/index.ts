/** What services outside API Gateway import as `rekey/verify`. docs/verify.md shows its use. It depends on nothing. */
export type { Principal } from '../requires-scope/principal.ts';
export {
  createVerifier,
  type RefusalCode,
  type Required,
  type Verdict,
  type Verifier,
  type VerifierOptions,
} from './verifier.ts';
