/** One order, as this example shows it. */
export interface Order {
  id: string;
  item: string;
  quantity: number;
  placed_at: string;
}

/** What a shop would keep in a table; here it is made up, and the same for every caller. */
export const orders: readonly Order[] = [
  { id: 'order_1', item: 'espresso machine', quantity: 1, placed_at: '2026-11-02T09:15:00.000Z' },
  { id: 'order_2', item: 'coffee grinder', quantity: 2, placed_at: '2026-11-03T16:40:00.000Z' },
  { id: 'order_3', item: 'paper filters', quantity: 12, placed_at: '2026-11-05T11:05:00.000Z' },
];
