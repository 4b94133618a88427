import { jest } from '@jest/globals';

/** A stack of one's own takes seconds to start, and more on a busy machine. */
jest.setTimeout(300_000);
