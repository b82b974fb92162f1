// Python's strftime in the "C" locale, for templates that tell the model the current date.

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June"],
  ...["July", "August", "September", "October", "November", "December"],
];
const DAY = 86_400_000;

/**
 * `format` with its directives replaced by parts of `date` in local time; an unknown directive
 * stays as it is.
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%([-_0^#]?)([A-Za-z%])/g, (whole, flag: string, letter: string) => {
    const part = partOf(date, letter);
    if (part === undefined) return whole;
    switch (flag) {
      case "-":
        return part.replace(/^[0 ]+(?=\d)/, "");
      case "_":
        return part.replace(/^0+(?=\d)/, (zeros) => " ".repeat(zeros.length));
      case "0":
        return part.replace(/^ +(?=\d)/, (spaces) => "0".repeat(spaces.length));
      case "^":
        return part.toUpperCase();
      case "#":
        return letter === "p" ? part.toLowerCase() : part.toUpperCase();
    }
    return part;
  });
}

function partOf(date: Date, letter: string): string | undefined {
  const number = (value: number, width = 2, fill = "0"): string => `${value}`.padStart(width, fill);
  const [year, month, day, hour] = [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours()];
  const weekday = date.getDay();
  /** Days since 1 January. */
  const passed = Math.round((Date.UTC(year, month, day) - Date.UTC(year, 0)) / DAY);
  switch (letter) {
    case "Y":
      return `${year}`;
    case "C":
      return number(Math.floor(year / 100));
    case "y":
      return number(year % 100);
    case "m":
      return number(month + 1);
    case "d":
      return number(day);
    case "e":
      return number(day, 2, " ");
    case "B":
      return MONTHS[month]!;
    case "b":
    case "h":
      return MONTHS[month]!.slice(0, 3);
    case "A":
      return DAYS[weekday]!;
    case "a":
      return DAYS[weekday]!.slice(0, 3);
    case "w":
      return `${weekday}`;
    case "u":
      return `${weekday || 7}`;
    case "H":
      return number(hour);
    case "k":
      return number(hour, 2, " ");
    case "I":
      return number(hour % 12 || 12);
    case "l":
      return number(hour % 12 || 12, 2, " ");
    case "p":
      return hour < 12 ? "AM" : "PM";
    case "P":
      return hour < 12 ? "am" : "pm";
    case "M":
      return number(date.getMinutes());
    case "S":
      return number(date.getSeconds());
    case "f":
      return number(date.getMilliseconds() * 1000, 6);
    case "s":
      return `${Math.floor(date.getTime() / 1000)}`;
    case "j":
      return number(passed + 1, 3);
    case "U":
      return number(Math.floor((passed + 7 - weekday) / 7));
    case "W":
      return number(Math.floor((passed + 7 - ((weekday + 6) % 7)) / 7));
    case "V":
      return number(isoWeek(date).week);
    case "G":
      return `${isoWeek(date).year}`;
    case "g":
      return number(isoWeek(date).year % 100);
    case "n":
      return "\n";
    case "t":
      return "\t";
    case "z":
    case "Z":
      return ""; // Python's now() has no time zone
    case "%":
      return "%";
  }
  const composed = COMPOSED[letter];
  return composed === undefined ? undefined : strftime(date, composed);
}

/** Directives that are short for several others. */
const COMPOSED: Readonly<Record<string, string>> = {
  ...{ D: "%m/%d/%y", x: "%m/%d/%y", F: "%Y-%m-%d", R: "%H:%M", T: "%H:%M:%S", X: "%H:%M:%S" },
  ...{ r: "%I:%M:%S %p", c: "%a %b %e %H:%M:%S %Y" },
};

/** The ISO 8601 week; it belongs to the year of its Thursday. */
function isoWeek(date: Date): { readonly year: number; readonly week: number } {
  const thursday = Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() - ((date.getDay() + 6) % 7) + 3);
  const year = new Date(thursday).getUTCFullYear();
  return { year, week: Math.floor((thursday - Date.UTC(year, 0)) / DAY / 7) + 1 };
}
