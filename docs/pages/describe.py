"""What the programs say of themselves (`--describe`, base/usage.h), and the forms of text in it."""
import re
import subprocess


class Usage:
    """A program or a subcommand: name, synopsis, summary, text, options [(name, value, text)], more."""

    def __init__(self):
        self.options = []
        self.name = self.synopsis = self.summary = self.text = self.more = ''


def unescape(text):
    return re.sub(r'\\(.)', lambda m: {'n': '\n', 't': '\t'}.get(m[1], m[1]), text)


def ask(program):
    """The usages of a program, its own first, and its settings [(section, name)]."""
    said = subprocess.run([program, '--describe'], check=True, stdout=subprocess.PIPE, text=True).stdout
    usages, settings, u = [], [], None
    for line in said.splitlines():
        key, *values = [unescape(v) for v in line.split('\t')]
        if key == 'name':
            u = Usage()
            usages.append(u)
        if key == 'setting':
            settings.append(tuple(values))
        elif key == 'option':
            u.options.append(tuple(values))
        elif key != 'end':
            setattr(u, key, values[0])
    return usages, settings


def paragraphs(text):
    """The text of a help (base/fill.h): ('text', words), ('row', first column, second), ('line', as it stands)."""
    found = []
    for line in text.split('\n'):
        blanks = len(line) - len(line.lstrip(' '))
        columns = re.match(r' +(.*?\S) {2,}(.*)', line)
        last = found[-1] if found else None
        if not line.strip():
            found.append(None)
        elif blanks == 0:
            if last and last[0] == 'text':
                found[-1] = ('text', last[1] + ' ' + line.strip())
            else:
                found.append(('text', line.strip()))
        elif blanks > 8 and last and last[0] in ('row', 'line'):
            found[-1] = ('row', last[1], ((last[2] if last[0] == 'row' else '') + ' ' + line.strip()).strip())
        elif columns:
            found.append(('row', columns[1], columns[2]))
        else:
            found.append(('line', line.strip()))
    return [f for f in found if f]
