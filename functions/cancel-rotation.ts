import { serve } from '../lib/operation.ts';
import { cancelRotation } from '../lib/operations/cancel-rotation.ts';

export const handler = serve(cancelRotation);
