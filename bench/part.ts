import type { Series } from './rounds.ts';

/** A figure, and what it must be; without a limit it is only shown. */
export interface Target {
  name: string;
  ratio?: Series;
  value?: number;
  atMost?: number;
  atLeast?: number;
}

export interface Part {
  name: string;
  unit: string;
  series: Series[];
  targets: Target[];
  /** What could not be measured, and why. */
  skipped?: string[];
}

export const figureOf = ({ ratio, value }: Target): number => ratio?.median ?? value ?? Number.NaN;

export const isMet = (target: Target): boolean => {
  const figure = figureOf(target);
  return !(figure > (target.atMost ?? Number.POSITIVE_INFINITY)) && !(figure < (target.atLeast ?? 0));
};
