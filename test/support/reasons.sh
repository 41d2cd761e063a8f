#!/bin/sh
# Reasons are values, and sentences are made of them at the edge: nothing in src looks into a sentence of our own, or compares
# one with a word, to decide something. (Whether two whole sentences are the same may be asked: one is told once.) TAP.
set -u
cd "$(dirname "$0")/../.."
decides() # FILE... : "FILE: CALL" for each
{
    perl -0777 -ne '
        my $word = qr/(?:text|why|refusal|reason|said|says|complaint)/;
        my $member = qr/(?:\w+(?:\[[^\]]*\])?(?:->|\.))+(?:\w+_)?$word/;
        while (/\b( (?:strstr|strcasestr|strncmp|strncasecmp|memmem|strchr|sscanf) \s*\( \s* $member \b [^;]*
                  | (?:strcmp|strcasecmp) \s*\( \s* $member \s*,\s* "[^;]*
                  | (?:strstr|strcasestr|strncmp|strncasecmp|strcmp|strcasecmp|memmem|sscanf) \s*\( \s* (?!text)$word \s*,\s* "[^;]*
                  )/gx) {
            my $call = $1;
            $call =~ s/\s+/ /g;
            print "$ARGV: $call\n";
        }' "$@"
}
n=0 bad=0
check() # TEXT WANTED FOUND
{
    n=$((n + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        echo "$3" | sed 's/^/# /'
        bad=1
    fi
}
one=$(mktemp)
trap 'rm -f "$one"' EXIT
for line in 'if (strstr(ev->text, "refused") != NULL)' 'ok = !strncmp(err.text, file, n);' 'strcmp(r->v[i].why, "gone")' \
    'return strcmp(i->resolve_why,
        "no such name") == 0;' 'x = strncmp(why, "is not", 6) ? 1 : 0;'; do
    echo "$line" >"$one"
    line=$(echo "$line" | tr -s "\n " " ")
    check "this is seen: $line" 1 "$(decides "$one" | wc -l)"
done
for line in 'if (strcmp(list[i].why, r.why) == 0)' 'if (!strcmp(text, "any"))' 'memcmp(t->text, bom, 3)' 'strlen(err->text)'; do
    echo "$line" >"$one"
    line=$(echo "$line" | tr -s "\n " " ")
    check "this is none: $line" 0 "$(decides "$one" | wc -l)"
done
check "nothing decides by a sentence" "" "$(decides $(find src -name '*.[ch]'))"
echo "1..$n"
exit $bad
