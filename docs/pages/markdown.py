"""The part of Markdown that docs/ is written in, as blocks:
('heading', level, text), ('text', text), ('code', [line...]), ('bullet', text), ('table', [title...], [[cell...]...])."""
import re


def cells(line):
    return [c.strip() for c in line.strip().strip('|').split('|')]


def blocks(source):
    found = []
    lines = source.split('\n')
    i = 0
    while i < len(lines):
        line = lines[i]
        if not line.strip():
            i += 1
        elif m := re.match(r'(#+) (.*)', line):
            found.append(('heading', len(m[1]), m[2]))
            i += 1
        elif line.startswith('```'):
            code, i = [], i + 1
            while i < len(lines) and not lines[i].startswith('```'):
                code.append(lines[i])
                i += 1
            found.append(('code', code))
            i += 1
        elif line.startswith('    '):
            code = []
            while i < len(lines) and (lines[i].startswith('    ') or not lines[i].strip()):
                code.append(lines[i][4:])
                i += 1
            while code and not code[-1].strip():
                code.pop()
            found.append(('code', code))
        elif line.startswith('|'):
            rows = []
            while i < len(lines) and lines[i].startswith('|'):
                rows.append(cells(lines[i]))
                i += 1
            found.append(('table', rows[0], rows[2:]))
        else:
            bullet = re.match(r'(-|\d+\.) +(.*)', line)
            words = [bullet[2] if bullet else line.strip()]
            i += 1
            while i < len(lines) and lines[i].strip() and not re.match(r'(- |\d+\. |#|\||```)', lines[i]):
                words.append(lines[i].strip())
                i += 1
            found.append(('bullet' if bullet else 'text', ' '.join(words)))
    return found


def sections(source, wanted):
    """The blocks below these headings of level 2, without the headings."""
    found, take = [], False
    for b in blocks(source):
        if b[0] == 'heading' and b[1] <= 2:
            take = b[2] in wanted
        elif take:
            found.append(b)
    return found


def settings(table):
    """The names that the first column of a table of settings has."""
    names = []
    for row in table[2]:
        names += re.findall(r'`([a-z_0-9]+)`', row[0])
    return names
