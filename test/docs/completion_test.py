#!/usr/bin/env python3
"""Types into real shells what is to be completed. completion_test.py PAGES DOVETAIL"""
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

pages, program = [os.path.abspath(p) for p in sys.argv[1:]]
STATUS = {'tunnels': [{'name': 'office'}, {'name': 'lab two'}],
          'gateways': [{'name': 'gate', 'clients': [{'identity': 'anna@example.net'}, {'identity': 'north.example.net'}]}]}
count = failed = 0


def case(name, ok, said=''):
    global count, failed
    count += 1
    failed += not ok
    print('%sok %d %s' % ('' if ok else 'not ', count, name))
    if not ok:
        print('# ' + repr(said))


def daemon(path):
    """Answers `status` as dovetaild would."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(8)

    def serve():
        while True:
            peer, _ = listening.accept()
            asked = json.loads(peer.makefile().readline())
            peer.sendall((json.dumps({'v': 1, 'id': asked['id'], 'ok': True, 'result': STATUS}) + '\n').encode())
            peer.close()

    threading.Thread(target=serve, daemon=True).start()


class Shell:
    """An interactive shell in a terminal of its own."""

    def __init__(self, argv, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PS1='# ', TERM='dumb', HISTFILE='/dev/null',
                              PATH=os.path.dirname(program) + ':' + os.environ['PATH'])
            os.execvp(argv[0], argv)
        self.send('\n'.join(setup) + "\nprintf '%s\\n' be''gun\n")
        self.until('begun\r')

    def send(self, text):
        os.write(self.fd, text.encode())

    def until(self, text, seconds=60):
        """All that comes, until it has `text`."""
        said, end = '', time.monotonic() + seconds
        while text not in said and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                said += os.read(self.fd, 65536).decode(errors='replace')
        return said

    def complete(self, line):
        """What the line is after a tabulator, as the shell itself reads it."""
        self.send('\x15')
        self.send(line + '\t')
        self.send("\x01printf '<%s>' \x05; echo ' '.\n")
        said = self.until(' .\r')
        return said.replace('\r', '').replace('\n', '')

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def words(*w):
    return ''.join('<%s>' % x for x in w)


def typed(shell, argv, setup, sock):
    """What is the same in bash and zsh."""
    s = Shell(argv, setup)
    d = 'dovetail --socket %s ' % sock
    for name, line, wanted in [
            ('a subcommand', 'dovetail sta', ['dovetail', 'status']),
            ('an option of a subcommand', 'dovetail rekey --no', ['dovetail', 'rekey', '--no-wait']),
            ('a tunnel', d + 'up off', ['up', 'office']),
            ('a name with a blank', d + 'up lab', ['up', 'lab two']),
            ('an identity with an @', d + 'down anna@ex', ['down', 'anna@example.net']),
            ('the beginning of an identity', d + 'ping ann', ['ping', 'anna@example.net']),
            ('a word of nat', 'dovetail nat coun', ['nat', 'counters']),
            ('an option of dovetaild', 'dovetaild --verb', ['dovetaild', '--verbose']),
            ('a file', 'dovetail check /etc/host.con', ['check', '/etc/host.conf'])]:
        said = s.complete(line)
        case('%s: %s' % (shell, name), words(*wanted) in said, said)
    said = s.complete('dovetail --socket /nowhere up off')
    case('%s: no daemon, no names, no word' % shell,
         words('up', 'off') in said and 'connect' not in said and 'daemon' not in said, said)
    s.end()


def fish(sock):
    def ask(line):
        said = subprocess.run(['fish', '--no-config', '-c', 'source %s/dovetail.fish; complete -C %s' % (pages, repr(line))],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env=dict(os.environ, PATH=os.path.dirname(program) + ':' + os.environ['PATH'], HOME=tempfile.gettempdir()))
        return [l.split('\t')[0] for l in said.stdout.splitlines()]

    d = 'dovetail --socket %s ' % sock
    for name, line, wanted in [
            ('a subcommand', 'dovetail sta', ['status']),
            ('an option of a subcommand', 'dovetail rekey --no', ['--no-wait']),
            ('names', d + 'up ', ['anna@example.net', 'lab two', 'north.example.net', 'office']),
            ('the beginning of an identity', d + 'ping ann', ['anna@example.net']),
            ('a word of nat', 'dovetail nat coun', ['counters']),
            ('no daemon, no names, no word', 'dovetail --socket /nowhere up off', [])]:
        said = ask(line)
        case('fish: %s' % name, sorted(w.replace('\\ ', ' ') for w in said) == wanted, said)


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'sock')
    daemon(path)
    typed('bash', ['bash', '--norc', '--noprofile', '-i'],
          ['bind "set enable-bracketed-paste off"', 'source %s/dovetail' % pages], path)
    if shutil.which('zsh'):
        typed('zsh', ['zsh', '-f', '-i'],
              ['unset zle_bracketed_paste; bindkey -e', 'fpath=(%s $fpath); autoload -Uz compinit' % pages,
               'compinit -u -D'], path)
    else:
        count += 1
        print('ok %d zsh # SKIP there is no zsh' % count)
    if shutil.which('fish'):
        fish(path)
    else:
        count += 1
        print('ok %d fish # SKIP there is no fish' % count)
print('1..%d' % count)
sys.stdout.flush()
os._exit(1 if failed else 0)
