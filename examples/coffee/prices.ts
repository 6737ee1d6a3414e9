/** The price list, in satoshis. */
export const PRICES: Record<string, number> = {
  Espresso: 5_200,
  'Flat white': 8_400,
  'Filter coffee': 6_000,
  'Almond croissant': 8_000,
}
