// Python's search, split and replace on texts; positions are UTF-16 units of the plain text.

import { type Run, TemplateFault } from "./bounds.ts";
import { joined } from "./show.ts";
import { after, characters, cut, isSpace, LINE_END, plain, type Str } from "./text.ts";

/** Python's strip(): removes characters of `chars` (default white space) from the ends. */
export function stripped(text: Str, chars: string | null, left: boolean, right: boolean): Str {
  const all = plain(text);
  let [start, end] = [0, all.length];
  if (chars === null) {
    while (left && start < end && isSpace(all[start]!)) start++;
    while (right && end > start && isSpace(all[end - 1]!)) end--;
  } else {
    const set = new Set(characters(chars).map(plain));
    const last = (): string =>
      all.slice(end - (/[\udc00-\udfff]/.test(all[end - 1]!) && isPair(all, end - 2) ? 2 : 1), end);
    while (left && start < end && set.has(all.slice(start, after(all, start)))) start = after(all, start);
    while (right && end > start && set.has(last())) end -= last().length;
  }
  return cut(text, start, end);
}

function isPair(text: string, at: number): boolean {
  return at >= 0 && text.codePointAt(at)! > 0xffff;
}

/** str.split(separator, limit); limit -1 means no limit. */
export function split(run: Run, text: Str, separator: string | null, limit: number): Str[] {
  const all = plain(text);
  run.read(all.length);
  const parts: Str[] = [];
  const add = (start: number, end: number): void => {
    run.spend(1);
    parts.push(cut(text, start, end));
  };
  const full = (): boolean => limit >= 0 && parts.length >= limit;
  if (separator === "") throw new TemplateFault("split: the separator is empty");
  let at = 0;
  if (separator !== null) {
    for (let found = all.indexOf(separator); found >= 0 && !full(); found = all.indexOf(separator, at)) {
      add(at, found);
      at = found + separator.length;
    }
    add(at, all.length);
    return parts;
  }
  for (;;) {
    while (at < all.length && isSpace(all[at]!)) at++;
    if (at === all.length) return parts;
    if (full()) {
      add(at, all.length);
      return parts;
    }
    const start = at;
    while (at < all.length && !isSpace(all[at]!)) at++;
    add(start, at);
  }
}

/** str.rsplit(separator, limit). */
export function splitRight(run: Run, text: Str, separator: string | null, limit: number): Str[] {
  if (limit < 0) return split(run, text, separator, limit);
  const all = plain(text);
  run.read(all.length);
  if (separator === "") throw new TemplateFault("rsplit: the separator is empty");
  const parts: Str[] = [];
  const add = (start: number, end: number): void => {
    run.spend(1);
    parts.unshift(cut(text, start, end));
  };
  let end = all.length;
  if (separator !== null) {
    while (parts.length < limit && end >= separator.length) {
      const found = all.lastIndexOf(separator, end - separator.length);
      if (found < 0) break;
      add(found + separator.length, end);
      end = found;
    }
    add(0, end);
    return parts;
  }
  for (;;) {
    while (end > 0 && isSpace(all[end - 1]!)) end--;
    if (end === 0) return parts;
    if (parts.length >= limit) {
      add(0, end);
      return parts;
    }
    const stop = end;
    while (end > 0 && !isSpace(all[end - 1]!)) end--;
    add(end, stop);
  }
}

/** str.splitlines(keep). */
export function lines(run: Run, text: Str, keep = false): Str[] {
  const all = plain(text);
  run.read(all.length);
  const parts: Str[] = [];
  let at = 0;
  for (const end of all.matchAll(LINE_END)) {
    run.spend(1);
    const next = end.index + end[0].length;
    parts.push(cut(text, at, keep ? next : end.index));
    at = next;
  }
  if (at < all.length) parts.push(cut(text, at, all.length));
  return parts;
}

/** str.replace(old, by, limit); limit -1 means no limit. */
export function replaced(run: Run, text: Str, old: string, by: Str, limit: number): Str {
  const all = plain(text);
  run.read(all.length);
  const parts: Str[] = [];
  let at = 0;
  let length = all.length;
  const put = (found: number): void => {
    length += plain(by).length - old.length;
    run.room(length - all.length);
    parts.push(cut(text, at, found), by);
    at = found + old.length;
  };
  let count = 0;
  if (old === "") {
    for (let found = 0; found <= all.length && (limit < 0 || count < limit); count++) {
      put(found);
      found = found < all.length ? after(all, found) : all.length + 1;
    }
  } else {
    for (let found = all.indexOf(old); found >= 0 && (limit < 0 || count < limit); count++) {
      put(found);
      found = all.indexOf(old, at);
    }
  }
  if (count === 0) return text;
  parts.push(cut(text, at, all.length));
  return joined(run, parts);
}

/** Positions of non-overlapping occurrences of `part`. */
export function countOf(text: string, part: string): number {
  let count = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++;
  return count;
}
