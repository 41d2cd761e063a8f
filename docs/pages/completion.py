#!/usr/bin/env python3
"""Makes what bash, zsh and fish complete: completion.py OUT PROGRAM...

Commands and options are asked of the programs (describe.py). Names of tunnels and of a gateway's clients are asked of the
daemon when they are wanted (`dovetail status --names`); when it is away there are none, and nothing is said."""
import os
import re
import sys

import describe

SHELLS = {'bash': 'dovetail', 'zsh': '_dovetail', 'fish': 'dovetail.fish'}
NAMES = 'timeout 1 dovetail "${socket[@]}" status --names 2>/dev/null | head -n 1000'
FISH_NAMES = '(__dovetail_names)'


def kind(value):
    """What completes an option's value: 'none' (it has none), 'file', 'dir' or 'text'."""
    if not value or value.startswith('['):
        return 'none'
    return {'FILE': 'file', 'PATH': 'file', 'DIR': 'dir'}.get(value, 'text')


def operands(u):
    """What a subcommand takes beside options: 'names', 'file', or a list of words."""
    if 'TUNNEL' in u.synopsis:
        return 'names'
    rows = [p[1].split()[0] for p in describe.paragraphs(u.text) if p[0] == 'row']
    words = [w for w in rows if re.fullmatch(r'[a-z]+', w) and w != u.name.split()[-1]]
    if words:
        return words
    return 'file' if re.search(r'\[FILE\]|\| FILE', u.synopsis) else []


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


class Tool:
    """A program with its subcommands."""

    def __init__(self, program):
        usages, _ = describe.ask(program)
        self.own, self.inner = usages[0], usages[1:]
        self.name = self.own.name


def options_of(tool, u):
    """With those that go everywhere."""
    everywhere = [o for o in tool.own.options if o[0] in ('socket', 'json', 'help')] if u is not tool.own and tool.name == 'dovetail' else []
    return u.options + everywhere


# --- bash

BASH = '''# bash completion for Dovetail, made by docs/pages/completion.py
_dovetail_names() { %(names)s; }

# Words of which one is wanted, into COMPREPLY: those that begin with what was typed. Readline ends a word before : and = and @,
# and replaces the last part alone.
_dovetail_offer() # WORD...
{
    local full=${COMP_LINE:0:COMP_POINT} cur=${COMP_WORDS[COMP_CWORD]} word
    full=${full##*[[:space:]]}
    case $cur in : | =) cur= ;; esac
    [[ ${full%%"$cur"} != *@ ]] || cur=@$cur
    local begin=${full%%"$cur"}
    for word; do
        [[ $word == "$full"* ]] && COMPREPLY+=("$(printf %%q "${word#"$begin"}")")
    done
}

_dovetail_files() # [-d]
{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "${1:--f}" -- "${COMP_WORDS[COMP_CWORD]}")
}

_dovetail_complete()
{
    local tool=${COMP_WORDS[0]##*/} command= before=${COMP_WORDS[COMP_CWORD-1]} i socket=() names
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --socket) socket=(--socket "${COMP_WORDS[++i]}") ;;
        -*) ;;
        *) [[ $command ]] || command=${COMP_WORDS[i]} ;;
        esac
    done
    [[ $tool == dovetail || $tool == dovetail-sim ]] || command=
    case "$tool $command $before" in
%(values)s
    esac
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        case "$tool $command" in
%(options)s
        esac
        return
    fi
    case "$tool $command" in
%(words)s
    esac
}
complete -F _dovetail_complete %(tools)s
'''


def bash(tools):
    values, options, words = [], [], []
    for t in tools:
        for u in [t.own] + t.inner:
            command = u.name[len(t.name) + 1:]
            for name, value, _ in options_of(t, u):
                does = {'none': '', 'file': '_dovetail_files; return', 'dir': '_dovetail_files -d; return', 'text': 'return'}[kind(value)]
                if does:
                    values.append("    '%s %s --%s') %s ;;" % (t.name, command, name, does))
            options.append("        '%s %s') _dovetail_offer %s ;;" % (
                t.name, command, ' '.join('--' + o[0] for o in options_of(t, u))))
            wanted = [c.name.split()[-1] for c in t.inner] + (['help'] if t.inner else []) if u is t.own and t.inner else operands(u)
            does = 'mapfile -t names < <(_dovetail_names); _dovetail_offer "${names[@]}"' if wanted == 'names' else \
                '_dovetail_files' if wanted == 'file' else '_dovetail_offer ' + ' '.join(wanted) if wanted else ''
            if does:
                words.append("    '%s %s') %s ;;" % (t.name, command, does))
        if t.inner:
            words.append("    '%s help') _dovetail_offer %s ;;" % (t.name, ' '.join(c.name.split()[-1] for c in t.inner)))
    return BASH % {'names': NAMES, 'values': '\n'.join(values), 'options': '\n'.join(options), 'words': '\n'.join(words),
                   'tools': ' '.join(t.name for t in tools)}


# --- zsh

ZSH = '''#compdef %(tools)s
# zsh completion for Dovetail, made by docs/pages/completion.py
_dovetail_names()
{
    local -a names
    (( ${+opt_args[--socket]} )) && socket=(--socket ${(Q)opt_args[--socket]})
    names=(${(f)"$(%(names)s)"})
    compadd -a names
}

_dovetail_subcommand() # TOOL: $words[1] is the subcommand
{
    case "$1 $words[1]" in
%(inner)s
    esac
}

case $service in
%(tools_cases)s
esac
'''


def zsh_text(text):
    """For the specifications of _arguments."""
    return re.sub(r'([\[\]:\\])', r'\\\1', text)


def zsh_options(options):
    for name, value, text in options:
        spec = '--%s[%s]' % (name, zsh_text(text))
        does = {'file': '_files', 'dir': '_files -/', 'text': ' '}.get(kind(value))
        yield quoted(spec + (':%s:%s' % (zsh_text(value), does) if does else ''))


def zsh(tools):
    inner, cases = [], []
    for t in tools:
        for c in t.inner:
            wanted = operands(c)
            rest = {'names': "'*:tunnel:_dovetail_names'", 'file': "'*:file:_files'"}.get(wanted) if isinstance(wanted, str) else \
                "'1:what:(%s)'" % ' '.join(wanted) if wanted else ''
            inner.append("    '%s') _arguments %s %s ;;" % (c.name, ' '.join(zsh_options(options_of(t, c))), rest))
        own = ' '.join(zsh_options(t.own.options))
        if not t.inner:
            cases.append('%s) _arguments %s %s ;;' % (t.name, own, "'1:file:_files'" if operands(t.own) == 'file' else ''))
            continue
        listed = ' '.join(quoted('%s:%s' % (c.name.split()[-1], zsh_text(c.summary))) for c in t.inner)
        cases.append('''%s)
    local state
    typeset -A opt_args
    local -a commands socket
    commands=(%s)
    _arguments -C %s '1:command:->command' '*::argument:->argument'
    case $state in
    command) _describe command commands ;;
    argument)
        (( ${+opt_args[--socket]} )) && socket=(--socket ${(Q)opt_args[--socket]})
        _dovetail_subcommand %s
        ;;
    esac
    ;;''' % (t.name, listed, own, t.name))
    return ZSH % {'tools': ' '.join(t.name for t in tools), 'names': NAMES, 'inner': '\n'.join(inner), 'tools_cases': '\n'.join(cases)}


# --- fish

FISH = '''# fish completion for Dovetail, made by docs/pages/completion.py
function __dovetail_names
    set -l socket
    set -l words (commandline -opc)
    if set -l at (contains -i -- --socket $words)
        set socket --socket $words[(math $at + 1)]
    end
    timeout 1 dovetail $socket status --names 2>/dev/null | head -n 1000
end
'''


def fish(tools):
    out = [FISH]

    def line(tool, when, rest):
        out.append('complete -c %s%s %s\n' % (tool.name, ' -n ' + quoted(when) if when else '', rest))

    for t in tools:
        line(t, '', '-f')
        none = 'not __fish_seen_subcommand_from ' + ' '.join(c.name.split()[-1] for c in t.inner)
        for c in t.inner:
            line(t, none, '-a %s -d %s' % (c.name.split()[-1], quoted(c.summary)))
        for u in [t.own] + t.inner:
            word = u.name[len(t.name) + 1:]
            when = '__fish_seen_subcommand_from ' + word if word else ''
            for name, value, text in u.options:
                does = {'none': '', 'file': ' -r -F', 'dir': ' -x -a "(__fish_complete_directories)"', 'text': ' -x'}[kind(value)]
                line(t, when, '-l %s -d %s%s' % (name, quoted(text), does))
            wanted = operands(u) if word or not t.inner else []
            if wanted == 'names':
                line(t, when, '-a ' + quoted(FISH_NAMES))
            elif wanted == 'file':
                line(t, when, '-F')
            elif wanted:
                line(t, when, '-a ' + quoted(' '.join(wanted)))
    return ''.join(out)


def main(out, *programs):
    tools = [Tool(p) for p in programs]
    for shell, make in (('bash', bash), ('zsh', zsh), ('fish', fish)):
        with open(os.path.join(out, SHELLS[shell]), 'w', encoding='utf-8') as f:
            f.write(make(tools))


if __name__ == '__main__':
    main(*sys.argv[1:])
