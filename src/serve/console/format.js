// Numbers and times for people. Times of events are shown in UTC, as everywhere in Rivulet.

const whole = new Intl.NumberFormat("en");
const few = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (number) => (number == null ? "–" : whole.format(number));

/** A number that may vary much in little room. */
export const rough = (number) => {
  if (number == null || !Number.isFinite(number)) return "–";
  return Math.abs(number) >= 10_000 ? short.format(number) : few.format(number);
};

export const signed = (number) => (number > 0 ? `+${rough(number)}` : number < 0 ? `−${rough(-number)}` : "±0");

/** 2026-01-01 00:02:00.000 */
export const time = (ms) => {
  if (ms == null) return "–";
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString().replace("T", " ").slice(0, -1);
};

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]];

/** 2 d 3 h; 4 min 10 s; 1.24 s; 350 ms */
export const span = (ms) => {
  if (ms == null || !Number.isFinite(ms)) return "–";
  if (ms < 0) return `−${span(-ms)}`;
  if (ms < 1_000) return `${ms < 10 ? few.format(ms) : Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  const first = UNITS.findIndex(([, unit]) => ms >= unit);
  const [name, unit] = UNITS[first];
  const major = Math.floor(ms / unit);
  const next = UNITS[first + 1];
  const minor = next ? Math.floor((ms % unit) / next[1]) : 0;
  return minor && major < 100 ? `${major} ${name} ${minor} ${next[0]}` : `${whole.format(major)} ${name}`;
};

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
