#!/usr/bin/env python3
"""Makes the manual pages: man.py OUT VERSION DATE DOCS PROGRAM...

What a program and its subcommands do, and their options, is asked of the program (describe.py); what stands in the
configuration files is read from docs/. So a page says what the program says, and what the documentation says."""
import os
import re
import sys
import textwrap

import describe
import markdown

PAGES = {  # pages out of docs/: (section, summary, introduction, [(file, [headings of level 2] or None for all)])
    'dovetaild.conf': (5, 'the configuration of dovetaild', [
        ('configuration.md', None), ('policy.md', ['Rules']), ('discovery.md', ['Proxies'])]),
    'dovetail-natd.conf': (5, 'the settings of dovetail-natd', [('nat.md', ['Settings'])]),
}
TITLES = {'policy.md': 'Rules and groups', 'discovery.md': 'Discovery'}
SECTIONS = {'dovetaild': 8, 'dovetail-natd': 8}
FILES = {
    'dovetail': ['/run/dovetail/dovetaild.sock', '/run/dovetail/natd.sock'],
    'dovetaild': ['/etc/dovetail/dovetaild.conf', '/run/dovetail/dovetaild.sock', '/var/lib/dovetail/leases.db'],
    'dovetail-natd': ['/etc/dovetail/dovetail-natd.conf', '/run/dovetail/natd.sock', '/sys/fs/bpf/dovetail-natd'],
    'dovetaild.conf': ['/etc/dovetail/dovetaild.conf'],
    'dovetail-natd.conf': ['/etc/dovetail/dovetail-natd.conf'],
}
ALL = {'dovetail': 1, 'dovetaild': 8, 'dovetaild.conf': 5, 'dovetail-natd': 8, 'dovetail-natd.conf': 5, 'dovetail-sim': 1}
NOT_ASCII = {'↔': '<->', '→': '->', '≥': '>=', '≤': '<=', '×': 'x', '…': '...', '⁴': '^4', '⁶': '^6'}


def plain(text):
    for c, other in NOT_ASCII.items():
        text = text.replace(c, other)
    text = text.replace('\\', '\\e').replace('-', '\\-').replace("'", '\\(aq').replace('`', '\\(ga').replace('^', '\\(ha').replace('~', '\\(ti')
    return re.sub(r'[^\x00-\x7f]', lambda m: '\\[u%04X]' % ord(m[0]), text)


def styled(text):
    """`code` and **bold** in bold; of a link its text."""
    text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', text)
    out = []
    for part in re.split(r'(`[^`]*`|\*\*[^*]+\*\*)', text):
        if part.startswith('`') and len(part) > 1:
            out.append('\\fB' + plain(part[1:-1]) + '\\fR')
        elif part.startswith('**'):
            out.append('\\fB' + plain(part[2:-2]) + '\\fR')
        else:
            out.append(plain(part))
    return ''.join(out)


def guarded(line):
    """A line of text is none of requests."""
    return '\\&' + line if line[:1] in ('.', "'") else line


def filled(text):
    """As lines of less than 80 bytes, broken where the reader does not see it."""
    return '\n'.join(guarded(l) for l in textwrap.wrap(styled(text), 76, break_long_words=False, break_on_hyphens=False))


def code(lines):
    return '.PP\n.RS 4\n.nf\n' + '\n'.join(guarded(plain(l)) for l in lines).replace('\n\n', '\n\\&\n') + '\n.fi\n.RE\n'


def table(titles, rows):
    """A table of settings: its name, with the default beside it, and what is said of it. Other tables likewise."""
    out = []
    default = titles.index('default') if 'default' in titles else None
    for row in rows:
        said = [c for i, c in enumerate(row) if i != default and i > 0 and c]
        head = styled(row[0])
        if default is not None and row[default]:
            head += ' \\(em ' + styled(row[default])
        out.append('.TP\n%s\n%s\n' % (guarded(head), filled('; '.join(said)) if said else '\\&'))
    return ''.join(out)


def body(blocks):
    out, after_head = [], True
    for b in blocks:
        if b[0] == 'heading':
            out.append(('.SH ' if b[1] <= 2 else '.SS ') + heading(b[2], b[1]) + '\n')
        elif b[0] == 'text':
            out.append(('' if after_head else '.PP\n') + filled(b[1]) + '\n')
        elif b[0] == 'bullet':
            out.append('.IP \\(bu 2\n' + filled(b[1]) + '\n')
        elif b[0] == 'code':
            out.append(code(b[1])[0 if not after_head else len('.PP\n'):])
        else:
            out.append(table(b[1], b[2]))
        after_head = b[0] == 'heading'
    return ''.join(out)


def heading(text, level=2):
    text = styled(text.upper() if level <= 2 else text)
    return '"%s"' % text.replace('"', '\\(dq') if ' ' in text else text


def help_text(text, after_head):
    """Paragraphs and rows of a help."""
    out, lines = [], []
    for kind, *rest in describe.paragraphs(text) + [('end',)]:
        if kind != 'line' and lines:
            out.append(code(lines))
            lines = []
        if kind == 'line':
            lines.append(rest[0])
        elif kind == 'text':
            out.append(('' if after_head else '.PP\n') + filled(rest[0]) + '\n')
        elif kind == 'row':
            out.append('.TP\n%s\n%s\n' % (guarded('\\fB%s\\fR' % plain(rest[0])), filled(rest[1])))
        after_head = False
    return ''.join(out)


def options(u):
    out = []
    for name, value, text in u.options:
        head = '\\fB' + plain('--' + name) + '\\fR' + (' \\fI%s\\fR' % plain(value) if value else '')
        out.append('.TP\n%s\n%s\n' % (head, filled(text)))
    return ''.join(out)


def see_also(name, more):
    others = [(n, s) for n, s in list(ALL.items()) + more if n != name]
    return '.SH "SEE ALSO"\n' + ',\n'.join('.BR %s (%d)' % (plain(n), s) for n, s in others).replace(',\n', ' ,\n') + '\n'


class Maker:
    def __init__(self, out, version, date):
        self.out, self.version, self.date = out, version, date

    def page(self, name, section, summary, text, more=()):
        head = '.TH %s %d %s "Dovetail %s" Dovetail\n.SH NAME\n' % (
            name.upper().replace('-', '\\-'), section, self.date, self.version)
        head += filled(name + ' @ ' + summary).replace('@', '\\-', 1) + '\n'
        files = ''
        if name in FILES:
            files = '.SH FILES\n' + '.br\n'.join('.I %s\n' % plain(f) for f in FILES[name])
        with open(os.path.join(self.out, '%s.%d' % (name, section)), 'w', encoding='ascii') as f:
            f.write(head + text + files + see_also(name, list(more)))

    def usage(self, u, inner, section):
        """A program, or a subcommand of `dovetail`; `inner` are the subcommands that it lists."""
        name = u.name.replace(' ', '-')
        text = '.SH SYNOPSIS\n\\fB%s\\fR %s\n' % (plain(u.name), filled(u.synopsis)) if u.synopsis else \
            '.SH SYNOPSIS\n\\fB%s\\fR\n' % plain(u.name)
        about = '' if ' ' in u.name else '**%s**: %s.\n\n' % (u.name, u.summary)
        text += '.SH DESCRIPTION\n' + help_text(about + u.text, True)
        for c in inner:
            text += '.TP\n\\fB%s\\fR\n%s\n' % (plain(c.name.split()[1]), filled(c.summary))
        if u.options:
            text += '.SH OPTIONS\n' + options(u)
        if name.startswith('dovetail-') and section == 1 and ' ' in u.name:
            text += '.PP\n' + filled('And everywhere **--socket** and **--json** (dovetail(1)).') + '\n'
        text += self.after(u)
        more = [('dovetail-' + c.name.split()[1], 1) for c in inner]
        self.page(name, section, u.summary, text, more)

    @staticmethod
    def after(u):
        """What follows the options: the exit status and examples under heads of their own."""
        status = [p for p in describe.paragraphs(u.more) if p[0] == 'text' and p[1].startswith('Exit status: ')]
        rest = u.more
        text = ''
        if status:
            rest = re.sub(r'Exit status: .*\n', '', u.more)
            text = '.SH "EXIT STATUS"\n' + filled(status[0][1].replace('Exit status: ', '')) + '\n'
        if rest.strip():
            text = '.SH NOTES\n' + help_text(rest.strip('\n'), True) + text
        return text

    def simulator(self, usages):
        """All of dovetail-sim on one page."""
        u = usages[0]
        text = '.SH SYNOPSIS\n\\fB%s\\fR %s\n.SH DESCRIPTION\n' % (plain(u.name), filled(u.synopsis))
        text += filled(u.summary[0].upper() + u.summary[1:] + '.') + '\n'
        for c in usages[1:]:
            text += '.SS "%s %s"\n' % (plain(c.name), plain(c.synopsis)) + help_text(c.text, True) + options(c)
        self.page(u.name, 1, u.summary, text + self.after(u))


def conf(maker, name, docs):
    section, summary, sources = PAGES[name]
    found = []
    for file, wanted in sources:
        with open(os.path.join(docs, file), encoding='utf-8') as f:
            source = f.read()
        if wanted is None:
            found += markdown.blocks(source)[1:]  # without its title
        else:
            found += ([('heading', 2, TITLES[file])] if file in TITLES else []) + markdown.sections(source, wanted)
    maker.page(name, section, summary, '.SH DESCRIPTION\n' + body(found))


def main(out, version, date, docs, *programs):
    maker = Maker(out, version, date)
    for program in programs:
        usages, _ = describe.ask(program)
        if usages[0].name == 'dovetail-sim':
            maker.simulator(usages)
            continue
        maker.usage(usages[0], usages[1:], SECTIONS.get(usages[0].name, 1))
        for u in usages[1:]:
            maker.usage(u, [], 1)
    for name in PAGES:
        conf(maker, name, docs)


if __name__ == '__main__':
    main(*sys.argv[1:])
