// Dates as Python's strftime writes them in its "C" locale, for templates that tell a model what day it is.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** `format` with its directives replaced by parts of `date` in local time; an unknown directive stays as it is. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => `${value}`.padStart(2, "0");
  const [day, month, hour] = [DAYS[date.getDay()]!, MONTHS[date.getMonth()]!, date.getHours()];
  const parts: Readonly<Record<string, string>> = {
    Y: `${date.getFullYear()}`,
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    B: month,
    b: month.slice(0, 3),
    A: day,
    a: day.slice(0, 3),
    H: two(hour),
    I: two(hour % 12 || 12),
    p: hour < 12 ? "AM" : "PM",
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    j: `${Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0)) / 86_400_000) + 1}`.padStart(
      3,
      "0",
    ),
    "%": "%",
  };
  return format.replace(/%(-?)([A-Za-z%])/g, (whole, dash: string, letter: string) => {
    const part = parts[letter];
    if (part === undefined) return whole;
    return dash === "" ? part : part.replace(/^0(?=\d)/, "");
  });
}
