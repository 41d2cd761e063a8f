#!/usr/bin/env python3
"""The commands of docs/install.md: install_blocks.py FILE OUT

Each block of commands has a comment before it, <!-- MACHINE --> or <!-- MACHINE: not run, REASON --> (and then it may have
<!-- instead: COMMAND -->). OUT/N.sh is the block; a line for each: N MACHINE, run or not, how many commands, the heading it
stands below, and the reason, between tabulators."""
import re
import sys

source, out = sys.argv[1:]
heading, where, reason, instead, n = '', None, '', '', 0
lines = open(source, encoding='utf-8').read().split('\n')


def commands(block):
    """How many: a document that is fed to one of them is part of it; what stands behind && is one more."""
    count, end = 0, None
    for line in block:
        if end is not None:
            end = None if line == end else end
            continue
        count += 1 + line.count(' && ')
        if m := re.search(r"<<'(\w+)'", line):
            end = m[1]
    return count


i = 0
while i < len(lines):
    line = lines[i]
    if m := re.match(r'#+ (.*)', line):
        heading = m[1]
    elif m := re.fullmatch(r'<!-- instead: (.*) -->', line):
        instead = m[1]
    elif m := re.fullmatch(r'<!-- ([a-z]+)(?:: (?:not run, (.*)|last))? -->', line):
        where, reason = m[1], m[2] or ''
    elif line.startswith('    '):
        block = []
        while i < len(lines) and (lines[i].startswith('    ') or (not lines[i] and lines[i + 1].startswith('    '))):
            block.append(lines[i][4:])
            i += 1
        if where is None:
            sys.exit('install.md: the block below "%s" does not say where it is run: %s' % (heading, block[0]))
        n += 1
        with open('%s/%d.sh' % (out, n), 'w', encoding='utf-8') as f:
            f.write('\n'.join(block) + '\n')
        print('\t'.join([str(n), where, 'not' if reason else 'run', str(commands(block)), heading, reason or '-', instead or '-']))
        where, reason, instead = None, '', ''
    i += 1
