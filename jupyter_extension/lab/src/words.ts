/** Micro-dollars as a person reads them. */
export function dollars(micro: number): string {
  const value = micro / 1e6;
  return `$${value > 0 && value < 0.01 ? value.toFixed(4) : value.toFixed(2)}`;
}

export function hourly(micro: number | null): string {
  return micro === null ? 'price unknown' : `${dollars(micro)}/h`;
}

/** `8×A100` of `A100:8`. */
export function accelerators(text: string): string {
  const [name, count] = text.split(':');
  return count ? `${count}×${name}` : name;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** Text of a log without the colours and movements that terminals know. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07/g, '');
}
