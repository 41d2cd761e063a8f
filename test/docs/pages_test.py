#!/usr/bin/env python3
"""Compares what the programs say that they take (options, settings) with the manual pages and with docs/, both ways.
pages_test.py SOURCE PAGES PROGRAM... (dovetail dovetaild dovetail-natd dovetail-sim)"""
import glob
import os
import re
import shutil
import subprocess
import sys

root, pages, *programs = sys.argv[1:]
sys.path.insert(0, os.path.join(root, 'docs', 'pages'))
sys.dont_write_bytecode = True
import describe  # noqa: E402
import markdown  # noqa: E402

PARAMETERS = ['tunnel', 'gateway', 'discover']
DOCS = ['configuration.md', 'policy.md', 'discovery.md', 'nat.md']
count = failed = 0


def case(name, complaints):
    global count, failed
    count += 1
    failed += bool(complaints)
    print('%sok %d %s' % ('not ' if complaints else '', count, name))
    for c in complaints:
        print('# ' + c)


def read(*path):
    with open(os.path.join(*path), encoding='utf-8') as f:
        return f.read()


def difference(a, b, what_a, what_b):
    return ['%s: in %s, not in %s' % (x, what_a, what_b) for x in sorted(set(a) - set(b))] + \
        ['%s: in %s, not in %s' % (x, what_b, what_a) for x in sorted(set(b) - set(a))]


def documented_settings():
    """section -> its settings, of the tables in docs/ whose first title is "setting of `SECTION`", or "parameter"."""
    found, parameters = {}, []
    for file in DOCS:
        for b in markdown.blocks(read(root, 'docs', file)):
            title = b[1][0] if b[0] == 'table' else ''
            if title == 'parameter':
                parameters += markdown.settings(b)
            elif m := re.fullmatch(r'setting of `([a-z-]+)`', title):
                found[m[1]] = found.get(m[1], []) + markdown.settings(b)
    for section in PARAMETERS:
        found[section] += parameters
    return found


def page_terms(page):
    """What a page explains: the terms of its lists, without fonts and escapes."""
    text = re.sub(r'\\f[BIR]', '', read(pages, page)).replace('\\-', '-')
    return re.findall(r'^\.TP\n(.*)', text, re.M)


usages, settings = [], []
for program in programs:
    u, s = describe.ask(program)
    usages += u
    settings += s
known = {}
for section, name in settings:
    known.setdefault(section, []).append(name)
documented = documented_settings()

case('every section has a table of its settings', difference(known, documented, 'the parsers', 'docs/'))
for section in known:
    case('settings of %s: the parser, docs/' % section,
         difference(known[section], documented.get(section, []), 'the parser', 'docs/'))

for page, sections in [('dovetaild.conf.5', [s for s in known if s != 'dovetail-natd']),
                       ('dovetail-natd.conf.5', ['dovetail-natd'])]:
    terms = ' '.join(re.split(' \\\\\\(em ', t)[0] for t in page_terms(page))
    said = re.findall(r'[a-z_0-9]+', terms)
    wanted = [n for s in sections for n in known[s]]
    case('settings of %s: the parser, the page' % page,
         ['%s: of the parser, not on the page' % w for w in sorted(set(wanted) - set(said))])

example = read(root, 'docs', 'examples', 'natd.conf')
case('docs/examples/natd.conf has every setting',
     difference(known['dovetail-natd'], re.findall(r'^(?:# )?([a-z_]+) *= ', example, re.M), 'the parser', 'the example'))

for u in usages:
    page = 'dovetail-sim' if u.name.startswith('dovetail-sim') else u.name.replace(' ', '-')
    page += '.8' if page in ('dovetaild', 'dovetail-natd') else '.1'
    if not os.path.exists(os.path.join(pages, page)):
        case('%s has a page' % u.name, ['there is no %s' % page])
        continue
    terms = [t for t in page_terms(page) if t.startswith('--')]
    mine = [('--%s %s' % (n, v)).strip() for n, v, _ in u.options]
    if page == 'dovetail-sim.1':  # one page for all of them
        case('options of %s: the program, the page' % u.name, [m + ': not on the page' for m in mine if m not in terms])
    else:
        case('options of %s: the program, the page' % u.name, difference(mine, terms, 'the program', 'the page'))
case('the page of dovetail-sim has no option that none of its commands has',
     [t for t in page_terms('dovetail-sim.1') if t.startswith('--')
      and not any(t.startswith('--' + n) for u in usages if u.name.startswith('dovetail-sim') for n, _, _ in u.options)])

listed = [u.name.split()[1] for u in usages if u.name.startswith('dovetail ')]
case('dovetail(1) lists every subcommand',
     difference(listed, [t for t in page_terms('dovetail.1') if not t.startswith('--')], 'the program', 'the page'))
case('there is no page of something that is not there',
     difference(['dovetail-%s.1' % c for c in listed] + ['dovetail.1', 'dovetail-sim.1', 'dovetaild.8', 'dovetail-natd.8',
                                                          'dovetaild.conf.5', 'dovetail-natd.conf.5'],
                [os.path.basename(p) for p in glob.glob(os.path.join(pages, '*.[158]'))], 'the programs', 'the folder'))


def commands(source):
    """Lines of code that call one of our programs: (words of its name, options)."""
    for b in markdown.blocks(source):
        for line in b[1] if b[0] == 'code' else re.findall(r'`(dovetail[^`]*)`', str(b[1:])):
            m = re.match(r'(?:sudo )?(?:build/bin/)?(dovetail(?:d|-natd|-sim)?)\b(?: --(?:json|socket \S+))*(?: ([a-z]+))?', line.strip())
            if m:
                yield m[1], m[2] or '', re.findall(r' --([a-z-]+)', line.split('#')[0].split('|')[0])


wrong = []
for path in [os.path.join(root, 'README.md')] + sorted(glob.glob(os.path.join(root, 'docs', '*.md'))):
    for program, word, options in commands(read(path)):
        u = [x for x in usages if x.name in (program, program + ' ' + word)]
        have = {n for x in u for n, _, _ in x.options} | {'json', 'socket', 'help', 'version'}
        wrong += ['%s: %s %s has no --%s' % (os.path.basename(path), program, word, o) for o in options if o not in have]
case('every option that docs/ use is one', wrong)



def settings_of(text):
    """A configuration without comments and blanks."""
    return re.sub(r'#.*|\s', '', text)


readme = [settings_of('\n'.join(b[1])) for b in markdown.blocks(read(root, 'README.md')) if b[0] == 'code']
case('the configurations of README.md are examples',
     ['%s.conf is none of its blocks' % e for e in ('gateway', 'client')
      if settings_of(read(root, 'docs', 'examples', e + '.conf')) not in readme])

if shutil.which('mandoc'):
    said = subprocess.run(['mandoc', '-Tlint'] + sorted(glob.glob(os.path.join(pages, '*.[158]'))),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    case('mandoc -Tlint has nothing to say', said.stdout.splitlines())
else:
    count += 1
    print('ok %d mandoc -Tlint has nothing to say # SKIP there is no mandoc' % count)

print('1..%d' % count)
sys.exit(1 if failed else 0)
