"""Writes test/fixtures/chat/jinja.json: templates, and what Jinja2 makes of them with transformers' settings.

    pip install jinja2 && python3 test/chat/jinja_cases.py [how many of each kind] > test/fixtures/chat/jinja.json

The test that walks the table needs no Python.
"""

import copy
import itertools
import json
import random
import re
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

EACH = int(sys.argv[1]) if len(sys.argv) > 1 else 1
random.seed(12)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
)
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception

CONTEXT = {
    "text": "Hello, World",
    "lines": "  one\n\n two <b>\r\nthree's \n",
    "wide": "a\U0001f60ab\u00e9\U00010400c\u200d",
    "space": " \t\u00a0x\u3000\n",
    "json": '{"a": [1, 2.5, true, null], "b": "<\\u00e9>"}',
    "n": 7,
    "big": 12345678901234567890,
    "f": 2.5,
    "zero": 0,
    "yes": True,
    "no": False,
    "nothing": None,
    "empty": "",
    "list": [3, 1, 2],
    "words": ["banana", "Apple", "cherry", "apple"],
    "mixed": [1, "1", 1.0, True, None, [1], {"a": 1}],
    "dict": {"b": 2, "a": 1, "items": "own", "C": [1], "n": None},
    "users": [
        {"name": "Bo", "age": 30, "tags": ["x"], "city": {"zip": 2}},
        {"name": "al", "age": 25, "tags": [], "city": {"zip": 1}},
        {"name": "Cy", "age": 30, "email": None, "city": {"zip": 2}},
    ],
    "messages": [
        {"role": "system", "content": " Be kind.\n"},
        {"role": "user", "content": "caf\u00e9 \U0001f600 <|im_end|>"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"x": 1.0, "y": [True, None]}}}]},
        {"role": "tool", "content": "{\"t\": 20}", "tool_call_id": "1"},
        {"role": "user", "content": ""},
    ],
}

cases = []
seen = set()


def case(template):
    if template in seen or re.search(r"map.*wordcount|missing.*__class__|keys\(\) -", template):
        return
    seen.add(template)
    try:
        result = env.from_string(template).render(**copy.deepcopy(CONTEXT))
    except Exception:
        result = None
    # Addresses, and what is a type's name rather than a value.
    if result is not None and re.search("gener.?a?tor|object.?>|-0-x-|bound method|^b['\"]|j\\)$| at 0x|<class|<built-in|jinja2\\.|<function|%20at%200x", result, re.I):
        return
    cases.append([template, result])


def shown(expression):
    case("{{ %s }}" % expression)


def sample(items, count):
    items = list(items)
    return items if len(items) <= count * EACH else random.sample(items, count * EACH)


VALUES = [
    "none", "true", "false", "missing", "0", "1", "-3", "7", "2.5", "-0.0", "1e20", "1e-7", "100000000000000000000",
    "''", "'abc'", "'Hello World'", "' a b '", "'12'", "'-1.5'", "wide", "lines", "'a,b,,c'", "space", "'\\u00df\\u01c6'",
    "[]", "[1, 2]", "[3, 1, 2]", "['b', 'A', 'c']", "(1, 'a')", "()", "{}", "{'a': 1, 'B': 2}", "{1: 'x', none: 2.0}",
    "words", "mixed", "dict", "users", "range(4)", "dict.items()", "dict.keys()", "words|map('upper')", "'<b>\\'\"&'|safe", "namespace(a=1)",
    "big", "f", "[[1, 2], [1]]", "[none, missing]", "[0.1, 1.0, 1e16, 1e-5]", "'it\\'s'", "'\"\\'\\n\\x00\\u200b'",
]

FILTERS = [name for name in sorted(env.filters) if name not in ("pprint", "urlize", "random")]
for name, value in itertools.product(FILTERS, VALUES):
    shown(f"({value})|{name}")
for name, value in itertools.product(["map", "select", "reject", "unique", "batch(2)", "slice(2)", "items", "reverse", "map('string')"], VALUES):
    shown(f"({value})|{name}|list")

WITH_ARGUMENTS = {
    "abs": ["-3", "-2.5", "true"],
    "attr": ["'a'", "'upper'", "'__class__'", "'items'"],
    "batch": ["2", "3, 'x'", "0", "linecount=2, fill_with=none", "2.0"],
    "center": ["20", "5", "width=9", "0", "-1"],
    "default": ["'x'", "'x', true", "'x', boolean=true", "default_value=3", "none"],
    "dictsort": ["true", "false, 'value'", "by='value'", "reverse=true", "by='x'", "case_sensitive=true"],
    "filesizeformat": ["true", "binary=false"],
    "float": ["9.5", "default=none", "'x'"],
    "int": ["9", "default=-1", "0, 16", "base=2", "'x'"],
    "forceescape": [], "first": [], "format": ["1", "'a', 2", "a=1", "*[1, 2]"],
    "groupby": ["'age'", "attribute='name'", "'city.zip'", "'email', default='-'", "'name', case_sensitive=true", "0"],
    "indent": ["2", "'> '", "2, true", "2, first=true, blank=true", "width=1", "0"],
    "join": ["', '", "d='-'", "'|', attribute='name'", "'|', 'age'", "1", "none", "attribute=0"],
    "map": ["'upper'", "attribute='name'", "attribute='email', default='?'", "'trim'", "'default', 'x'", "'join', '-'", "attribute='city.zip'", "attribute=0", "'nope'", "upper", "'replace', 'a', 'o'", "attribute='name', x=1"],
    "max": ["attribute='age'", "true", "case_sensitive=true"],
    "min": ["attribute='age'", "true", "attribute='name'"],
    "reject": ["'none'", "'odd'", "'in', [1]", "'equalto', 1", "'string'"],
    "rejectattr": ["'email'", "'age', 'equalto', 30", "'email', 'defined'", "'name', 'in', ['Bo']"],
    "replace": ["'a', 'o'", "'a', 'o', 1", "'', '-'", "'l', ''", "old='a', new='b'", "1, 2", "'a', none", "'o', 'x', count=1", "'a'"],
    "round": ["1", "2, 'ceil'", "1, 'floor'", "0, 'floor'", "method='ceil'", "-1", "-1, 'floor'", "0, 'x'"],
    "select": ["'none'", "'odd'", "'in', [1, '1']", "'string'", "'gt', 1", "'nope'", "'defined'", "'mapping'"],
    "selectattr": ["'email'", "'age', 'gt', 26", "'email', 'none'", "'name', 'in', ['Bo', 'al']", "'city.zip', 'equalto', 2", "'tags'", "'age', '==', 30", ""],
    "slice": ["2", "3, 'x'", "0", "slices=2, fill_with=0", "-1"],
    "sort": ["true", "reverse=true", "attribute='age'", "attribute='age,name'", "case_sensitive=true", "attribute='city.zip'", "true, true", "attribute=0"],
    "sum": ["attribute='age'", "start=10", "'age', 1", "start=[]", "start='x'", "start=0.5"],
    "tojson": ["indent=2", "indent=0", "indent='--'", "ensure_ascii=true", "separators=(',', ':')", "sort_keys=true", "false, 1", "indent=none", "separators=[', ', '=']"],
    "trim": ["'a'", "' '", "chars='ab\\n'", "none", "''", "'\\U0001f60ac'"],
    "truncate": ["5", "5, true", "9, false, '..'", "3, true, '', 0", "length=6, leeway=0", "1", "4, end='\u2026'"],
    "unique": ["true", "attribute='age'", "attribute='name', case_sensitive=true", "case_sensitive=true"],
    "wordwrap": ["10", "3", "5, false", "width=4, wrapstring='|'", "7, break_on_hyphens=false", "0"],
    "xmlattr": ["false", "autospace=true"],
    "length": ["1"], "upper": ["1"], "list": ["x=1"], "string": ["1"], "title": [], "last": ["1"],
}
for name, arguments in WITH_ARGUMENTS.items():
    for given in arguments:
        for value in sample(VALUES, 18):
            listed = "|list" if name in ("batch", "map", "reject", "rejectattr", "select", "selectattr", "slice", "unique") else ""
            shown(f"({value})|{name}({given}){listed}")

TESTS = [name for name in sorted(env.tests) if name.isalpha()]
for name, value in itertools.product(TESTS, VALUES):
    shown(f"({value}) is {name}")
for name in ["==", "!=", "<", "<=", ">", ">=", "eq", "gt", "in", "sameas", "divisibleby", "lt", "ge"]:
    for value, other in sample(itertools.product(VALUES, VALUES), 25):
        if "dict." in value and "dict." in other:  # sets
            continue
        if name == "sameas" and other not in ("none", "true", "false"):
            continue
        shown(f"[{value}]|select('{name}', {other})|list|length")
for text in ["1 is divisibleby 2", "4 is divisibleby(2)", "n is not odd", "'a' is in 'abc'", "'a' is in(['a'])", "n is not none and n is odd", "'upper' is filter", "'x' is filter", "'odd' is test", "not n is odd", "missing is not defined", "1 is eq 1.0", "n is eq(7) and yes", "dict.b is defined", "dict.zz is defined", "dict['a'] is eq 1", "list is iterable is true", "3 is odd + 1", "'a' ~ 'b' is string", "n is gt 3 if yes else 1"]:
    shown(text)

OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
SMALL = [value for value in VALUES if value not in ("wide", "users", "lines")]
for operator in OPERATORS:
    for left, right in sample(itertools.product(SMALL, SMALL), 100):
        # What makes a set or a complex number.
        if operator in "-<=>=" and "dict." in left + right or operator == "**" and ("e-" in right or "." in right or right == "f"):
            continue
        if operator in ("*", "**") and ("000" in left + right or "e20" in left + right or "big" in left + right):
            continue
        shown(f"({left}) {operator} ({right})")
NUMBERS = ["0", "1", "-1", "7", "-7", "3", "2.5", "-2.5", "0.1", "1e300", "-0.0", "10000000000000000000000", "true", "9007199254740993", "1e16", "0.5", "1.5"]
for operator in ["+", "-", "*", "/", "//", "%", "**", "==", "<", ">="]:
    for left, right in sample(itertools.product(NUMBERS, NUMBERS), 60):
        if operator == "**" and ("000" in right or "9007" in right or "e" in right or "." in right):
            continue
        shown(f"{left} {operator} ({right})")
for operator, value in itertools.product(["-", "+", "not "], VALUES):
    shown(f"{operator}({value})")

for text in [
    "1 < 2 < 3", "1 < 2 > 3", "3 > 2 >= 2 == 2", "1 in [1] in [[1]]", "not 1 == 2", "not not 0", "1 if 0", "1 if 0 else 2 if 0 else 3", "'a' if yes",
    "2 ** 3 ** 2", "-2 ** 2", "2 + 3 * 4 - 1", "7 // 2 * 2", "'a' ~ 1 + 2 ~ 'b'", "1 + 1 ~ 1", "'a' 'b' \"c\"", "(1)", "(1,)", "(1, 2,)", "[1, 2,]", "{'a': 1,}",
    "1_000 + 0x1F + 0b11 + 0o17", "1_0.5e1", "1.5e-3", "1e3", "01", "1.", ".5", "00", "0x", "'\\x41\\u0042\\101\\n\\q\\\\'", "'\\\u00e9'", "\"a'b\"", "'a\\'b'", "'\\N{DASH}'",
    "text[0]", "text[-1]", "text[99]", "text[1:4]", "text[::-1]", "text[::2]", "text[-3:]", "text[:-3]", "text[5:2]", "text['upper']()", "text[1:'a']", "text[::0]", "text.0", "list.1", "list[true]", "list[1.0]", "list['x']", "list[none]",
    "wide[1]", "wide[1:3]", "wide[::-1]", "wide|length", "wide[-2]", "wide.find('b')", "wide|list", "wide|reverse", "wide|center(11)", "wide.index('c')", "wide|upper", "wide.split('\u00e9')",
    "dict.a", "dict['a']", "dict.items", "dict['items']", "dict.items()|list", "dict.get('a')", "dict.get('z')", "dict.get('z', 5)", "dict.get('n', 5)", "dict.keys()|list", "dict.values()|list", "dict.update", "dict.update({})", "dict.pop('a')", "dict.a.b", "dict.z.b", "dict.__class__", "dict.__class__.x", "dict._x", "dict['__class__']", "dict.n.x", "dict['n']['x']", "none.x", "missing.x", "missing['x']", "missing()", "missing[0:1]",
    "list.append(1)", "list.index(1)", "list.index(9)", "list.count(3)", "(1, 2).index(2)", "(1, 2).count(1)", "list.copy()", "list.sort()", "dict.copy()", "{1: 2}[1]", "{1: 2}[1.0]", "{1: 2}[true]", "{'a': 1}[['a']]", "{[1]: 2}", "{(1, 2): 3}[(1, 2)]", "range(3)[1]", "range(5)[1:3]", "range(10)[::-2]", "range(3)|list", "range(1, 10, 3)|list", "range(5, 0, -2)|list", "range(0)", "range(3) == range(0, 3)", "2 in range(3)", "2.0 in range(3)", "'a' in range(3)", "range(200000)", "range('a')", "range(1, 2, 0)", "range(2.0)",
    "dict(a=1, b=2)", "dict([('a', 1)])", "dict({'a': 1}, b=2)", "dict(a=1).a", "namespace(a=1).a", "namespace({'a': 1}).a", "namespace().x", "namespace(a=[1])", "cycler('a', 'b').next()", "cycler()", "joiner('x')()", "joiner()() ~ joiner('-')()",
    "n.bit_length()", "n.real", "f.is_integer()", "(3.0).is_integer()", "3.0", "n / 1", "10 / 2", "1e15", "1e16", "123456789.123456789", "0.1 + 0.2", "1 / 3", "2 ** -1", "0 ** -1", "1e308 * 10", "-7 // 2", "-7 % 3", "7 % -3", "-7.5 // 2", "-7.5 % 2", "1 % 0", "1 / 0", "1 // 0.0", "big + 1", "big * big", "big // 7", "big % 1000", "-big % 7", "big / 2", "big == 12345678901234567890.0", "big > 1e19", "2 ** 64", "2 ** 100 % 7", "5 - 10 ** 20",
    "1 == 1.0", "1 == true", "'1' == 1", "[1, 2] == [1, 2.0]", "[1] == (1,)", "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", "none == missing", "missing == missing2", "[missing] == [missing]", "none == false", "'' == none", "(1, 2) < (1, 3)", "[1] < [1, 0]", "'a' < 'B'", "'Z' < 'a'", "none < 1", "[1] < 'a'", "true + true", "true < 2", "'a' * 3", "3 * 'a'", "[1] * 2", "(1,) * 2", "'a' * -1", "[1] + [2]", "(1,) + (2,)", "[1] + (2,)", "'a' + 1", "1 + 'a'", "none + 'a'", "'a' + missing", "'a' ~ none ~ true ~ 1.0 ~ [1]",
    "messages[0]", "messages[2]", "messages[2].tool_calls[0].function.arguments", "messages[2].tool_calls[0].function.arguments|tojson", "messages|map(attribute='content')|list", "messages[1:]|length", "messages[-1].content == ''", "messages[2].content is none", "messages[0].content|trim", "messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join('|')", "messages[9]", "messages[9].x", "(messages|last).role", "(messages|first)['role']", "messages|groupby('role')", "messages[2]|items|list", "messages[2]|tojson(indent=2)", "json|tojson", "text|tojson", "wide|tojson", "wide|tojson(ensure_ascii=true)", "{1: 2, none: 3, true: 4, 1.5: 5}|tojson", "{(1, 2): 3}|tojson", "(1, 2)|tojson", "missing|tojson", "words|map('upper')|tojson", "1e400|tojson", "range(2)|tojson",
    "words|sort|join(' ')", "words|unique|list", "[1, 'a']|sort", "[missing, 1]|sort", "dict|dictsort", "{'b': 1, 'A': 2}|dictsort(true)", "users|sort(attribute='age')|map(attribute='name')|list", "users|sum('age')", "users|map(attribute='email')|list", "users|map(attribute='tags')|sum(start=[])", "users|groupby('age')|map('first')|list", "(users|groupby('age'))[0].list|length", "(users|groupby('age'))[0].grouper", "('a', 'b')|join", "{'a': 1}|join", "'abc'|join('-')", "'abc'|first", "'abc'|last", "''|first", "[]|last is defined", "words|map('length')|max", "[[2, 1], [1, 2]]|map('sort')|list", "words|batch(3)|list", "words|slice(3)|list", "range(7)|batch(3, 'x')|list", "words|random in words", "'a b  c'|wordcount", "'%s'|format('a')", "'%s %s'|format('a')", "'%(x)s'|format(x=1)", "'<b>'|e", "'<b>'|safe + '<'", "'<' + '<b>'|safe", "('<b>'|safe) ~ '<'", "('<b>'|safe)|e", "('<'|e)|length", "('%s'|safe) % '<'", "('{}'|safe).format('<')", "('<b>'|safe).upper()", "('<b>'|safe).replace('b', '<')", "['<', '>'|safe]|join", "'<'|forceescape", "('<'|safe)|forceescape", "('<p>a</p> <b>b</b>')|striptags", "'a'|safe == 'a'", "('a'|safe)|string is escaped", "('<'|safe)|upper is escaped", "('a'|safe)[0] is escaped", "('a b'|safe).split(' ')", "{'k': '<', 'l': none}|xmlattr", "'a b/c?d=\u00e9&'|urlencode", "{'a b': 'c&d', 'e': 1}|urlencode", "[('a', 1)]|urlencode",
    "'a-b c_d'|title", "\"it's o'neil\"|title", "'HELLO wORLD'|capitalize", "1000|filesizeformat", "1500000|filesizeformat", "1|filesizeformat", "0|filesizeformat", "2048|filesizeformat(true)", "'12'|int", "'12.9'|int", "'0x1f'|int(0, 16)", "'0x1f'|int(0, 0)", "'1e3'|int", "'abc'|int(5)", "none|int", "12.9|int", "'inf'|int", "' 12 '|int", "'1_000'|int", "'\u0663'|int", "'1e3'|float", "'nan'|float", "('inf' ~ empty)|float", "'x'|float(1.5)", "none|float", "true|float", "42.55|round", "2.5|round", "3.5|round", "2.675|round(2)", "42|round", "1234|round(-2)", "0.5|round|int", "-0.5|round", "7|round(1)", "1e22|round(2)", "1.005|round(2)", "25|round(-1)", "15|round(-1)", "true|abs", "[1]|abs",
    "super()", "self", "loop", "caller()", "lipsum", "x=1", "1 2", "a b", "(1", "1)", "[1}", "{{", "'abc", "1 +", "* 1", "not", "a.", "a[", "a[]", "a[1, 2]", "a[1:2, 3]", "a|", "a|1", "a is", "f(a=1, 2)", "f(a=1, a=2)", "f(*a, *b)", "f(**a, b=1)", "f(*[1], b=1)", "true = 1", "@", "a ? b", "a && b", "!a", "a; b", "`a`", "a := 1", "lambda: 1", "[x for x in y]", "a if", "if", "in", "1 in", "is", "and",
    "'a' not in 'abc'", "not 'a' in 'abc'", "1 not in [2]", "'' in 'abc'", "1 in 'abc'", "'a' in none", "'a' in missing", "'a' in dict", "1 in {1.0: 2}", "[1] in [[1]]", "'a' in dict.items()", "('a', 1) in dict.items()", "'a' in dict.keys()", "none in [missing]", "'a' in namespace()", "[] in {}", "'b' in words|map('first')",
    "loop.index", "text.upper", "''.join(words)", "', '.join(['a', 1])", "'-'.join('abc')", "','.join({'a': 1})", "''.join([])", "'a'.join(missing)", "'abc' is sequence", "dict is sequence", "(words|map('upper')) is sequence", "dict.items() is sequence", "missing is sequence", "missing is callable", "range is callable", "text.upper is callable", "missing is iterable", "7 is iterable", "none is iterable", "7 is number", "true is number", "true is integer", "1.0 is integer", "1.0 is float", "'a' is escaped", "('a'|safe) is string", "namespace() is mapping",
]:
    shown(text)

TEXTS = ["'Hello World'", "''", "' a  b '", "'a,b,,c'", "wide", "space", "lines", "'abcabc'", "'x'", "'\\u00df\\u01c6\\u0130'", "'123'", "'\\u00b2\\u0663\\u4e09'", "'A b-C'", "'aaa'", "'<b>'|safe", "'\\x1c\\x85\\ufeff'", "'tab\\there'", "'-5'", "'+7'"]
NO_ARGUMENTS = ["upper", "lower", "title", "capitalize", "swapcase", "casefold", "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "expandtabs", "isalpha", "isalnum", "isdigit", "isdecimal", "isnumeric", "isspace", "isupper", "islower", "istitle", "isascii", "isprintable", "isidentifier", "nope", "format", "join", "count"]
for name, text in itertools.product(NO_ARGUMENTS, TEXTS):
    shown(f"({text}).{name}()")
METHODS = {
    "strip": ["'a'", "' '", "'Hd'", "none", "''", "'\\n '", "wide", "1", "'ab', 'c'", "chars='a'"],
    "lstrip": ["'a'", "'<'", "'\\n'"], "rstrip": ["'c'", "'\\n '", "wide"],
    "split": ["','", "' '", "'a'", "none, 1", "',', 1", "' ', maxsplit=1", "sep=','", "''", "'b', 0", "none, 0", "'xyz'", "',', -1", "1"],
    "rsplit": ["','", "none, 1", "',', 1", "' ', 1", "'a', 1", "none, 0", "'b', 2"],
    "splitlines": ["true", "keepends=true", "0"],
    "replace": ["'a', 'b'", "'a', ''", "'', '-'", "'a', 'bb', 1", "'a', 'b', -1", "'a', 'b', 0", "'l', wide", "'', '-', 2", "'a'", "1, 2"],
    "find": ["'a'", "'b', 2", "'b', -3", "'a', 1, 3", "''", "'zz'", "'c', none, none", "1"], "rfind": ["'a'", "'b', 2", "''", "'a', 0, 2"], "index": ["'a'", "'zz'", "'b', 1"], "rindex": ["'a'", "'zz'"],
    "count": ["'a'", "'aa'", "''", "'b', 2", "'a', 1, 3"],
    "startswith": ["'a'", "('a', 'H')", "'b', 1", "''", "1", "['a']", "'', 99"], "endswith": ["'c'", "('c', 'd')", "'b', 0, 2", "''"],
    "partition": ["','", "'b'", "''", "'zz'"], "rpartition": ["','", "'b'", "'zz'"],
    "removeprefix": ["'a'", "'Hello'", "''"], "removesuffix": ["'c'", "'World'", "''"],
    "center": ["20", "15, '*'", "4", "21, '\\U0001f600'", "9, 'ab'"], "ljust": ["15, '.'", "3"], "rjust": ["15", "16, '0'"], "zfill": ["8", "3", "15"],
    "join": ["['a', 'b']", "'xy'", "[1]", "()"], "expandtabs": ["4", "0", "tabsize=2"],
    "translate": ["{97: 'X', 98: none, 32: 95}", "{}"], "format": ["1", "'a', b=2"], "title": ["1"], "upper": ["1"],
}
for name, arguments in METHODS.items():
    for given in arguments:
        for text in sample(TEXTS, 7):
            shown(f"({text}).{name}({given})")

# Printf formats and format specifications.
for kind, flags, width, precision in sample(
    itertools.product("sdifFeEgGxXorac%u", ["", "-", "+", " ", "0", "#", "-+", "0+", "#0"], ["", "6", "12", "1"], ["", ".0", ".1", ".3", ".10", "."]), 260
):
    value = random.choice(["7", "-42", "3.14159", "-0.0", "1e20", "123456789", "'a\\u00e9'", "true", "0", "2.5", "0.000012345", "none", "1e-10", "99999.5", "big", "[1]", "missing", "{'a': 1}", "0.5", "1.5", "100000", "1000000.0", "('inf' ~ empty)|float", "wide"])
    shown(f"'[%{flags}{width}{precision}{kind}]' % ({value},)")
for text in ["'%s' % 'a'", "'%s' % ['a']", "'%s' % {'a': 1}", "'%(a)s %(b)d' % {'a': 1, 'b': 2}", "'%(a)s' % {'b': 1}", "'%s %s' % ('a',)", "'%s' % ('a', 'b')", "'abc' % ()", "'abc' % 1", "'abc' % [1]", "'abc' % {}", "'abc' % missing", "'%s' % missing", "'%d' % missing", "'%d' % 'a'", "'%d' % 3.7", "'%%'  % ()", "'100%' % ()", "'%y' % 1", "'%' % 1", "'%*d' % (5, 3)", "'%.*f' % (2, 3.14159)", "'%-5s|' % 'a'", "'%5.1s|' % 'abc'", "'%c' % 65", "'%c' % 'ab'", "'%x' % 2.5", "'%r' % 'it'", "'%s' % wide", "'%(a.b)s' % {'a.b': 1}", "'%s %(a)s' % {'a': 1}"]:
    shown(text)
for fill, align, sign, alternate, zero, width, grouping, precision, kind in sample(
    itertools.product(["", "*", "\u00e9"], ["", "<", ">", "^", "="], ["", "+", " "], ["", "#"], ["", "0"], ["", "1", "12"], ["", ",", "_"], ["", ".0", ".2", ".5"], ["", "d", "f", "e", "g", "G", "%", "x", "X", "b", "o", "s", "n", "c", "E"]), 420
):
    if fill and not align:
        continue
    value = random.choice(["7", "-1234567", "3.14159", "-0.0", "1e20", "123456789.125", "'abc'", "true", "none", "0.00001", "255", "1e16", "100.0", "99.5", "0.5", "big", "wide", "[1]", "missing", "12345.678", "-1234", "('inf' ~ empty)|float"])
    shown(f"'{{:{fill}{align}{sign}{alternate}{zero}{width}{grouping}{precision}{kind}}}'.format({value})")
for text in ["'{} {}'.format(1, 2)", "'{1} {0}'.format('a', 'b')", "'{a}'.format(a=1)", "'{} {0}'.format(1)", "'{}'.format()", "'{a}'.format()", "'{0.a}'.format({'a': 1})", "'{0[a]}'.format({'a': 1})", "'{0[1]}'.format([1, 2])", "'{!r}'.format('a')", "'{!s:>5}'.format('a')", "'{!a}'.format(wide)", "'{!x}'.format(1)", "'{{}}'.format()", "'{{{}}}'.format(1)", "'{'.format()", "'}'.format()", "'{:{}}'.format(1, 5)", "'{:{w}.{p}f}'.format(3.14159, w=10, p=2)", "'{0.upper}'.format('a')", "'{0.__class__}'.format('a')", "'{}'.format(none)", "'{:5}'.format(none)", "'{:5}|'.format(true)", "'{}'.format([1, 'a'])", "'{:d}'.format('a')", "'{:s}'.format(1)", "'{a}'.format_map({'a': 1})", "'{}'.format(missing)", "'{x[a][0]}'.format(x={'a': [5]})", "'{:>10}|{:<5}|{:^7}'.format('a', 'b', 'c')", "'{:,}'.format(1234567)", "'{:.3}'.format('abcdef')", "'{:.2%}'.format(0.1234)"]:
    shown(text)

for start, stop, step in sample(itertools.product(["", "0", "1", "-1", "-2", "5", "99", "-99", "none"], ["", "0", "2", "-1", "99", "-99"], ["", "1", "2", "-1", "-2", "none"]), 60):
    value = random.choice(["'abcdef'", "wide", "[0, 1, 2, 3, 4]", "(0, 1, 2)", "range(6)", "''", "[]", "words|map('upper')", "dict", "n", "'<a>'|safe"])
    shown(f"({value})[{start}:{stop}:{step}]")

# Numbers as they print.
for _ in range(60 * EACH):
    number = random.choice([random.uniform(-1, 1) * 10 ** random.randint(-12, 22), random.randint(-10**6, 10**6) / 10 ** random.randint(0, 8)])
    shown(f"{number!r}|string" if number >= 0 else f"({number!r})|string")
    shown(f"({number!r})|round({random.randint(-3, 8)})")
    shown(f"'%.{random.randint(0, 12)}{random.choice('feg')}' % ({number!r})")
for code in sample([*range(0x20, 0x250), *range(0x370, 0x530), *range(0x1e00, 0x2070), *range(0x2460, 0x24ff), 0x4e09, 0x3007, 0xfeff, 0x1f600, 0x10400, 0xe000, 0xd55c, 0x1c5], 120):
    character = f"\\U{code:08x}"
    shown(f"'{character}|a{character}b'.title() ~ '{character}'.upper() ~ '{character}A'.lower() ~ '{character}'.capitalize() ~ '{character}'|title")
    shown(f"['{character}', '{character}'.isalpha(), '{character}'.isdigit(), '{character}'.isnumeric(), '{character}'.isspace(), '{character}'.isupper(), '{character}'.islower(), '{character}'.isprintable(), '{character}'.isalnum(), '{character}'.isidentifier(), 'a{character}b'.split(), 'a{character}b'.splitlines(), '{character}'|trim]")

STATEMENTS = r"""
{% for x in list %}{{ x }}{% endfor %}
{% for x in [] %}a{% else %}b{% endfor %}
{% for x in missing %}a{% else %}b{% endfor %}
{% for x in none %}a{% endfor %}
{% for x in 7 %}a{% endfor %}
{% for c in wide %}[{{ c }}]{% endfor %}
{% for k in dict %}{{ k }}{% endfor %}
{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}
{% for k, v in dict|items %}{{ k }}={{ v }};{% endfor %}
{% for k, v in dict|dictsort %}{{ k }}={{ v }};{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'ab'] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in list if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}
{% for x in list if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for x in list if loop.index > 1 %}{{ x }}{% endfor %}
{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ loop.previtem }}{% endfor %}
{% for x in list %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for x in list %}{{ loop.cycle() }}{% endfor %}
{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }}{% endfor %}
{% for x in [1, 1, 2] %}{% if loop.changed(x, 1) %}{{ x }}{% endif %}{% endfor %}
{% for x in words|map('upper') %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %}
{% for x in words|map('upper') %}{{ loop.last }}{{ loop.nextitem }}{{ loop.revindex }}{% endfor %}
{% for x in list %}{{ loop }}{% endfor %}
{% for x in list %}{{ loop.nope }}{% endfor %}
{% for x in list %}{{ loop.nope.x }}{% endfor %}
{% for x in list %}{% for y in list %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x in list %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for x in list %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}
{% for x in list %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in list %}{% break %}{% else %}else{% endfor %}
{% for x in list %}{% continue %}{% else %}else{% endfor %}
{% for x in [1] %}a{% else %}b{% endfor %}
{% break %}
{% if yes %}{% continue %}{% endif %}
{% for x in list %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{% for x in list %}{% filter upper %}a{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfilter %}{% endfor %}
{% for x in list %}{% set y %}a{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endset %}{{ y }}{% endfor %}
{% for x in [[1, [2, 3]], [4]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in [1, [2]] recursive %}{{ loop.depth0 }}{% if x is iterable %}{{ loop(x) }}{% endif %}{% else %}e{% endfor %}
{% for x in [[]] recursive %}{{ loop(x) }}{% else %}e{% endfor %}
{% for x in list %}{{ loop(x) }}{% endfor %}
{% for loop in list %}{{ loop }}{% endfor %}
{% for x in list %}{% set loop = 1 %}{% endfor %}
{% set x = 1 %}{% for y in list %}{% set x = y %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% for y in list %}{{ x }}{% set x = y %}{% endfor %}{{ x }}
{% for y in list %}{% set z = y %}{% endfor %}{{ z }}
{% for text in list %}{{ text }}{% endfor %}{{ text }}
{% for x in list %}{{ text }}{% endfor %}{% set text = 'new' %}{{ text }}
{% macro m() %}{{ text }}{% endmacro %}{{ m() }}{% set text = 'new' %}{{ m() }}
{% macro m() %}{{ q }}{% endmacro %}{{ m() }}{% set q = 1 %}{{ m() }}
{{ text }}{% set text = 'new' %}{{ text }}
{% if no %}{% set text = 'new' %}{% endif %}{{ text }}
{% if yes %}{% set text = 'new' %}{% endif %}{{ text }}
{% if no %}{% set q = 1 %}{% endif %}{{ q is defined }}
{% if yes %}{% set q = 1 %}{% else %}{% set r = 2 %}{% endif %}{{ q }}{{ r }}
{% for x in list %}{% if x == 3 %}{% set q = x %}{% endif %}{{ q }}{% endfor %}
{% set q = 5 %}{% for x in list %}{% if x == 1 %}{% set q = x %}{% endif %}{{ q }}{% endfor %}
{% set ns = namespace(a=1, b=[]) %}{% for x in list %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}
{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns.y }}{{ ns }}
{% set ns = namespace(a=1) %}{% set ns.a, b = 2, 3 %}{{ ns.a }}{{ b }}
{% set dict.a = 1 %}
{% set missing.a = 1 %}
{% set ns = {'a': 1} %}{% set ns.a = 2 %}{{ ns }}
{% set ns = namespace(a=1) %}{% macro m() %}{% set ns.a = 2 %}{% endmacro %}{{ m() }}{{ ns.a }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set a, b = [1] %}
{% set a = 1, 2 %}{{ a }}
{% set a = (1) %}{{ a }}
{% set a %}x{{ n }}{% endset %}{{ a }}{{ a is string }}
{% set a | upper %}x{{ n }}{% endset %}{{ a }}
{% set a | trim | replace('x', 'y') %} x {% endset %}{{ a }}
{% set a = missing %}{{ a is defined }}
{% set true = 1 %}
{% set 'a' = 1 %}
{% set a.b.c = 1 %}
{% set x = 1 if yes else 2 %}{{ x }}
{% set x = x %}{{ x is defined }}
{% set n = n + 1 %}{{ n }}
{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=1, a=2) }}{{ m() }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(a=n) %}{{ a }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=1) }}
{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}
{% macro m(a, a) %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m() %}a{% endmacro %}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.caller }}{{ m.catch_kwargs }}
{% macro m() %}a{% endmacro %}{{ m()|upper }}{{ m() ~ 'b' }}{{ m() is string }}
{{ m() }}{% macro m() %}a{% endmacro %}
{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b=3) m() %}{{ a }}{{ b }}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}x{% endmacro %}{% call m() %}body{% endcall %}
{% macro m(caller=none) %}{{ caller is none }}{% endmacro %}{{ m() }}
{% macro m(caller) %}{{ caller() }}{% endmacro %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}
{% macro a() %}{{ caller() }}{% endmacro %}{% macro b() %}{% call a() %}[{{ caller() }}]{% endcall %}{% endmacro %}{% call b() %}x{% endcall %}
{% call text.upper() %}x{% endcall %}
{% call n %}x{% endcall %}
{% set x = 1 %}{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}
{% macro m() %}{% macro inner() %}i{% endmacro %}{{ inner() }}{% endmacro %}{{ m() }}{{ inner is defined }}
{% for x in list %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}
{% set f = text.upper %}{{ f() }}
{% set f = dict.get %}{{ f('a') }}
{% filter upper %}a{{ text }}{% endfilter %}
{% filter replace('a', 'b')|upper %}banana{% endfilter %}
{% filter nope %}a{% endfilter %}
{% filter indent(2) %}a
b{% endfilter %}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x is defined }}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}
{% with n = n + 1, m = n %}{{ n }}{{ m }}{% endwith %}{{ n }}
{% with a, b = 1, 2 %}{{ a }}{% endwith %}
{% set x = 1 %}{% with x = 2 %}{% set x = 3 %}{{ x }}{% endwith %}{{ x }}
{% raw %}{{ x }}{% y %}{# z #}{% endraw %}
{% raw -%}  a  {%- endraw %} b
  {% raw %}  a
  {% endraw %}
b
{%- raw %} a {% endraw -%} b
{% raw %}a
{# comment #}a{# {{ x }} {% y %} #}b
a {#- c -#} b
a
  {# c #}
b
{# a #
{% raw %}
{% if yes %}a{% elif no %}b{% else %}c{% endif %}
{% if no %}a{% elif yes %}b{% else %}c{% endif %}
{% if no %}a{% elif no %}b{% elif n %}c{% endif %}
{% if missing %}a{% endif %}b
{% if missing.x %}a{% endif %}b
{% if yes and missing.x is defined %}a{% endif %}
{% if no %}{{ 'a'|nope }}{% endif %}b
{% if yes %}{{ 'a'|nope }}{% endif %}b
{{ 'a'|nope if no else 'b' }}
{% if no %}{{ 'a' is nope }}{% endif %}b
{% for x in [] %}{{ x|nope }}{% endfor %}
{% if yes: %}a{% endif %}
{% if 1, 2 %}a{% endif %}
{% if yes %}a
{% endif %}
{% endfor %}
{% else %}
{% if yes %}{% endfor %}
{% for x in list %}a{% endif %}
{% nope %}
{% %}
{% for x %}{% endfor %}
{% for x in %}{% endfor %}
{% for 1 in list %}{% endfor %}
{% for x in list, [1] %}{{ x }}{% endfor %}
{% for x in (1, 2) %}{{ x }}{% endfor %}
{% for x in 1, 2 %}{{ x }}{% endfor %}
{% for x in list if x if no else yes %}{{ x }}{% endfor %}
{% for x in yes and list %}{{ x }}{% endfor %}
{% print 1, 'a' %}
{% do list %}
{% generation %}a{{ n }}{% set q = 1 %}{% endgeneration %}{{ q is defined }}
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.role }}{% endgeneration %}{% endif %}{% endfor %}
{% macro m() %}{% generation %}{{ caller() }}{% endgeneration %}{% endmacro %}{% call m() %}x{% endcall %}
{% block a %}x{{ text }}{% endblock %}
{% block a %}x{% endblock a %}{{ self.a() }}
{% set q = 1 %}{% block a %}{{ q }}{% set q = 2 %}{{ q }}{% endblock %}{{ q }}
{% for x in list %}{% block a %}{{ x }}{% endblock %}{% endfor %}
{% for x in list %}{% block a scoped %}{{ x }}{{ loop.index }}{% endblock %}{% endfor %}
{% block a %}{% block b %}y{% endblock %}{% endblock %}{{ self.b() }}
{% block a %}{{ super() }}{% endblock %}
{% block a %}{% endblock %}{% block a %}{% endblock %}
{% block a %}{{ super is defined }}{{ self.a is defined }}{% endblock %}
{{ self.nope }}
{% include 'x' %}
{% if no %}{% include 'x' %}{% endif %}a
{% import 'x' as y %}
{% from 'x' import y, z as w %}
{% extends 'x' %}
{% if no %}{% import 'x' as y %}{% endif %}a
{% autoescape false %}{{ '<' }}{% endautoescape %}
{{ raise_exception('no') }}
{% if no %}{{ raise_exception('no') }}{% endif %}ok
{% set x = namespace(v='') %}{% for m in messages %}{% set x.v = x.v ~ m.role[0] %}{% endfor %}{{ x.v }}
{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '')|trim + '<|im_end|>' + '\n' }}{% endfor %}
{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}
{% for m in messages %}{% if m.content is string %}{{ m.content }}{% elif m.tool_calls %}{% for t in m.tool_calls %}{{ t.function.name }}({{ t.function.arguments | tojson }}){% endfor %}{% endif %}{% endfor %}
{% for m in messages | reverse %}{{ m.role }}{{ loop.index0 }}{% endfor %}
{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{{ i }}{% if m.role == 'user' and m.content %}{{ m.content }}{% break %}{% endif %}{% endfor %}
{% for g in users|groupby('age') %}{{ g.grouper }}:{% for u in g.list %}{{ u.name }}{% endfor %};{% endfor %}
{% for k, g in users|groupby('age') %}{{ k }}:{{ g|map(attribute='name')|join(',') }};{% endfor %}
{% for row in range(7)|batch(3, '-') %}{{ row|join }}|{% endfor %}
{% set it = words|map('upper') %}{{ it|join(',') }}|{{ it|join(',') }}
{% set it = words|map('upper') %}{% for x in it %}{{ x }}{% break %}{% endfor %}|{{ it|list }}
{% set it = words|map('upper') %}{{ it|first }}{{ it|first }}
{% set it = words|select %}{% if it %}yes{% endif %}{{ it|list|length }}
{% set d = {'a': [1]} %}{% set e = d %}{{ d.a + [2] }}{{ e }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{% set _ = c.reset() %}{{ c.current }}
{% set j = joiner(', ') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}
{{ [1, 2, 3] | sum }}{{ (1, 2) | sum }}{{ [] | sum }}
{{ dict|length }}{{ dict|list }}{{ dict|first }}{{ dict|last }}
{{ '{{' }}{{ '}}' }}{{ "{% x %}" }}
{{ {'a': {'b': 1}}.a.b }}{{ {'a': 1}['a'] }}
{{ {} }}{{ {'}}': 1} }}
{{ [[1, 2], [3]]|map('join', '-')|list }}
{{- 1 -}} a {{- 2 }}
{{ 1
+
2 }}
{{ 'a
b' }}
a
{{ 1 }}

b
"""
PARAGRAPH = []
for line in STATEMENTS.strip("\n").split("\n"):
    case(line)
    case(f"a {line}\n b")
MULTILINE = [
    "{% for x in list %}\n  {{ x }}\n{% endfor %}\nend\n", "a\n  {% if yes %}\n  b\n  {% endif %}\nc", "a\n  {%+ if yes %}\n  b\n  {%+ endif +%}\nc", "a\n  {%- if yes -%}\n  b\n  {%- endif -%}\nc", "  {{ 1 }}\n  {{- 2 }}\n  {{ 3 -}}\n  x", "\n\n{% if yes %}\n\na\n\n{% endif %}\n\n", "a\r\n{% if yes %}\r\nb\r\n{% endif %}\r\nc\rd\n", "x\n", "x\n\n", "\n", "", "{% raw %}\n  {{ a }}\n{% endraw %}\nb", "{% raw -%}\n  a\n{%- endraw %}\nb", "a {% raw %} b {% endraw %} c", "{#- c #}\n a {# d -#}\n b", "  {# c #}  \n b", "  {# c +#}\nb", "a  {%if yes%}b{%endif%}  c", "{% set x %}\n  a\n  {% if yes %}\n  b\n  {% endif %}\n{% endset %}[{{ x }}]", "a{% if yes %} {% endif %}b", "{{ 'a' }}\n\n{{ 'b' }}\n", "  {% set a = 1 %}  \n{{ a }}", "\t{% set a = 1 %}\n\t{{ a }}", "\u00a0{% set a = 1 %}x", "a\n\u00a0 {% set a = 1 %}\nx", "{{ 1 }}{% if yes %}\n{% endif %}\n{{ 2 }}", "{%- for x in list -%}\n {{ x }} {%- if not loop.last -%} , {% endif -%}\n{%- endfor -%}\n", "{# a\n b #}\n{{ nope.x }}", "{% if yes %}{# c #}\n a{% endif %}", "{%   if yes   %}a{%endif%}", "{{-1}}", "{{+1}}", "{{- -1 }}", "{%-if yes-%} a {%-endif-%}", "{% if yes -%}\n\n  a  \n\n{%- endif %}", "{%- macro m() -%}\n a \n{%- endmacro -%}\n[{{ m() }}]", "{% macro m() %}\n a \n{% endmacro %}\n[{{ m() }}]", "{% call m() %}", "{% filter trim %}\n a \n{% endfilter %}\nb",
]
for text in MULTILINE:
    case(text)

# White space around tags.
PIECES = ["{%s if yes %s}", "{%s endif %s}", "{{%s n %s}}", "{#%s c %s#}", "{%s set q = 1 %s}", "{%s raw %s}", "{%s endraw %s}"]
def tag(name):
    before, after = random.choice(["", "-", "+"]), random.choice(["", "-", "+"])
    if name == "n":
        return "{{%s n %s}}" % (before.replace("+", ""), after.replace("+", ""))
    if name == "c":
        return "{#%s c %s#}" % (before, after)
    if name == "raw":
        return "{%%%s raw %s%%}{{ r }}%s{%%%s endraw %s%%}" % (before, after.replace("+", ""), random.choice(["", " ", "\n", "\n  "]), random.choice(["", "-", "+"]), random.choice(["", "-", "+"]))
    return "{%%%s %s %s%%}" % (before, name, after)
def gap():
    return random.choice(["", " ", "\n", "  \n", "\n  ", "\n\n", " x ", "x", "\n x \n", "\t"])
for _ in range(250 * EACH):
    text = gap()
    for _ in range(random.randint(1, 3)):
        if random.random() < 0.4:
            text += tag("if yes") + gap() + tag("n") + gap() + tag("endif") + gap()
        else:
            text += tag(random.choice(["n", "c", "set q = 1", "raw"])) + gap()
    case(text)

# Scopes: random programs over a few names.
NAMES = ["a", "b", "n", "text"]
def program(depth, in_loop=False):
    parts = []
    for _ in range(random.randint(1, 4)):
        name, other = random.choice(NAMES), random.choice(NAMES)
        kind = random.choice(["show", "show", "set", "set", "for", "if", "with", "macro", "setblock", "filter", "call", "ns", "break", "generation", "block"] if depth > 0 else ["show", "set", "ns", "break"])
        inner = (lambda loop=in_loop: program(depth - 1, loop))
        if kind == "show":
            parts.append("{{ %s }}," % name)
        elif kind == "set":
            parts.append("{%% set %s = %s %%}" % (name, random.choice([f"'{random.randint(0, 9)}'", other, f"{other} ~ 'x'", "namespace"[:0] + "1"])))
        elif kind == "for":
            extra = random.choice(["", "", "{{ loop.index }}", " if %s != 'q' " % name])
            test = extra if extra.startswith(" if") else ""
            parts.append("{%% for %s in %s%s %%}%s%s{%% %s %%}" % (name, random.choice(["[1, 2]", "'xy'", "[]"]), test, "" if test else extra, inner(True), random.choice(["endfor", "else %}e{{ a }}{% endfor"])))
        elif kind == "if":
            parts.append("{%% if %s %%}%s{%% else %%}%s{%% endif %%}" % (random.choice(["yes", "no", f"{name} == 1", f"{name} is defined"]), inner(), inner()))
        elif kind == "with":
            parts.append("{%% with %s = %s %%}%s{%% endwith %%}" % (name, other, inner()))
        elif kind == "macro":
            m = random.choice(["f", "g"])
            parts.append("{%% macro %s(%s) %%}%s{%% endmacro %%}{{ %s(%s) }}" % (m, random.choice(["", name, f"{name}='d'", f"{name}, {other}=1" if name != other else name]), program(depth - 1), m, random.choice(["", "5"])))
        elif kind == "setblock":
            parts.append("{%% set %s %%}%s{%% endset %%}" % (name, inner()))
        elif kind == "filter":
            parts.append("{%% filter upper %%}%s{%% endfilter %%}" % inner())
        elif kind == "call":
            parts.append("{%% macro h() %%}<{{ caller(7) }}>{%% endmacro %%}{%% call(%s) h() %%}%s{%% endcall %%}" % (name, program(depth - 1)))
        elif kind == "generation":
            parts.append("{%% generation %%}%s{%% endgeneration %%}" % program(depth - 1))
        elif kind == "block":
            parts.append("{%% block k%d%s %%}%s{%% endblock %%}" % (random.randint(0, 10**6), random.choice(["", " scoped"]), program(depth - 1)))
        elif kind == "ns":
            parts.append("{%% set s = namespace(v=%s) %%}{%% set s.v = s.v ~ 1 %%}{{ s.v }}" % name)
        elif kind == "break" and in_loop:
            parts.append("{%% if %s == 1 %%}{%% %s %%}{%% endif %%}" % (name, random.choice(["break", "continue"])))
    return "".join(parts)
for _ in range(500 * EACH):
    text = program(random.randint(1, 3))
    if len(text) < 500:
        case(text)

# Random expressions.
def expression(depth):
    if depth == 0:
        return random.choice(["n", "f", "text", "list", "dict", "missing", "none", "yes", "words", "1", "'a'", "2.0", "[1, 'b']", "{'k': n}", "wide", "users[0]", "(1, 2)", "''", "messages"])
    sub = lambda: expression(depth - 1)
    return random.choice([
        lambda: f"({sub()} {random.choice(OPERATORS)} {sub()})",
        lambda: f"({sub()})|{random.choice(FILTERS)}",
        lambda: f"({sub()}) is {random.choice(['', 'not '])}{random.choice([t for t in TESTS if t not in ('divisibleby', 'sameas', 'in', 'eq', 'equalto', 'ge', 'gt', 'greaterthan', 'le', 'lessthan', 'lt', 'ne')])}",
        lambda: f"({sub()} if {sub()} else {sub()})",
        lambda: f"({sub()})[{random.choice(['0', '-1', repr('name'), repr('a'), sub()])}]",
        lambda: f"({sub()}).{random.choice(['a', 'name', 'k', 'upper()', 'items()', 'keys()', 'split()', 'get(' + repr('k') + ')', 'strip()', 'x'])}",
        lambda: f"{random.choice(['text', 'wide', 'words', 'list', 'messages', '(1, 2, 3)'])}[{random.choice(['1:', ':-1', '::-1', '1:2', '-2:'])}]",
        lambda: f"[{sub()}, {sub()}]",
        lambda: f"{{'k': {sub()}}}",
        lambda: f"(not {sub()})",
        lambda: f"({sub()} ~ {sub()})",
        lambda: f"({sub()})|{random.choice(['default(1)', 'join(' + repr(',') + ')', 'map(' + repr('string') + ')|list', 'tojson', 'length', 'list', 'string', 'select|list', 'first', 'last', 'sort', 'int', 'trim'])}",
    ])()
for _ in range(900 * EACH):
    text = expression(random.randint(1, 3))
    if len(text) < 200 and "**" not in text:
        shown(text)

# Of those that raise, some: what they show is that this fails, not how.
if EACH == 1:
    cases = [one for i, one in enumerate(cases) if one[1] is not None or i % 3 == 0]
json.dump(
    {
        "source": "test/chat/jinja_cases.py",
        "jinja2": jinja2.__version__,
        "python": sys.version.split()[0],
        "about": "[template, what Jinja2 writes with transformers' settings, or null where it raises]",
        "context": CONTEXT,
        "cases": cases,
    },
    sys.stdout,
    ensure_ascii=True,
    separators=(",", ":"),
)
print(len(cases), "cases,", sum(result is None for _, result in cases), "raise", file=sys.stderr)
