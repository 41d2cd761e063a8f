#!/bin/sh
# The command line of dovetail-sim: what is wrong is said in one sentence, with the right exit status, and leaves nothing
# half written; the same seed gives the same bytes. TAP.
sim=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0
check() # NAME STATUS EXPECTED-STATUS PATTERN
{
    n=$((n + 1))
    if [ "$2" = "$3" ] && { [ -z "$4" ] || grep -q -- "$4" "$dir/err"; } && [ "$(wc -l <"$dir/err")" -le 1 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1 (status $2)"
        sed 's/^/# /' "$dir/err"
    fi
}
ask() { "$sim" "$@" >"$dir/out" 2>"$dir/err"; }

ask run no-such-race; check "unknown scenario" $? 2 'no scenario "no-such-race"'
ask run race-1 --pairing neither; check "unknown pairing" $? 2 'no pairing "neither"'
ask fly; check "unknown command" $? 2 'no command "fly"'
ask run race-1 --seeds 0; check "no seeds" $? 2 'wants a number from 1'
ask run race-1 --seeds; check "an option without its value" $? 2 'wants'
ask run race-1 --set pingtime=0.1; check "pingtime below t_out / n_out" $? 2 'impossible parameters: .*pingtime'
ask run race-1 --set maxidle=900; check "maxidle beyond t_ei" $? 2 'impossible parameters: .*t_ei'
ask run race-1 --set maxidle=soon; check "a parameter that is no number" $? 2 'maxidle'
ask run race-1 --set speed=9; check "an unknown parameter" $? 2 'no parameter "speed"'
ask run --trace "$dir/none"; check "a trace that is not there" $? 2 'none'
echo "deliver 1" >"$dir/bad"
ask run --trace "$dir/bad"; check "a trace that is none" $? 2 'not a trace'
printf 'dovetail-sim trace 1\nseed 1\nfly 3\n' >"$dir/bad"
ask run --trace "$dir/bad"; check "a line that is none" $? 2 'bad:3:'
printf 'dovetail-sim trace 1\nseed 1\ndeliver 7\n' >"$dir/bad"
ask run --trace "$dir/bad"; check "a step that cannot happen" $? 2 'step 1 of the trace, "deliver 7", cannot happen'
ask explore --plant nothing; check "an unknown mistake" $? 2 'no mistake "nothing"'
ask explore --face nowhere; check "an unknown face" $? 2 'no face "nowhere"'
ask explore --face cold --plant one_probe; check "a mistake has its own bound" $? 2 'leave out --face'
ask explore --states none; check "a count that is no number" $? 2 '--states wants a number'
ask explore --face mute --set t_ei=10; check "parameters that no face can have" $? 2 'impossible parameters: .*t_ei'
ask run race-1 --pairing both --html /dev/full; check "a full disk" $? 1 'No space left'
ask run race-1 --pairing both --html "$dir/no/report.html"; check "no such folder" $? 1 'report.html'
rm -f "$dir/bad"
[ "$(ls "$dir")" = "err
out" ]; check "nothing half written is left" $? 0 ''
ask --version; check "--version" $? 0 ''
grep -qx 'dovetail-sim [0-9.]*' "$dir/out"; check "names it" $? 0 ''
ask --help; check "--help" $? 0 ''
[ -z "$(awk 'length > 80' "$dir/out")" ]; check "fits a terminal" $? 0 ''
for command in list run explore sweep discover; do
    ask $command --help; check "$command --help" $? 0 ''
    [ -z "$(awk 'length > 80' "$dir/out")" ]; check "fits a terminal" $? 0 ''
    grep -q "^Usage: dovetail-sim $command" "$dir/out"; check "is about $command" $? 0 ''
done
ask run mixed; check "mixed days without days" $? 2 'needs --days'
ask run mixed --clients 24 --days 1 --pairing both; check "mixed days" $? 0 ''
[ "$(grep -c '^  [a-z]' "$dir/out")" = 12 ]; check "a row for each scenario that a pair can have" $? 0 ''
ask list; check "list" $? 0 ''
[ "$(grep -c '^[a-z]' "$dir/out")" -ge 14 ]; check "fourteen scenarios" $? 0 ''
for scenario in race-2 nat-crash; do
    ask run $scenario --json --seed 5 --seeds 4; cp "$dir/out" "$dir/first"
    ask run $scenario --json --seed 5 --seeds 4 --jobs 1
    cmp -s "$dir/out" "$dir/first"; check "$scenario: the same seed, the same bytes" $? 0 ''
done
for field in scenario pairing seeds recovered recovery_s median p99 max bound_s lost_packets availability; do
    grep -q "\"$field\":" "$dir/out" || break
done
check "every field of the contract is in run --json" $? 0 ''
[ "$(wc -l <"$dir/out")" = 4 ]; check "four pairings" $? 0 ''
ask run race-3 --svg "$dir/a.svg" --pairing plain && "$sim" run race-3 --svg "$dir/b.svg" --pairing plain >/dev/null && cmp -s "$dir/a.svg" "$dir/b.svg"
check "svg: the same seed, the same bytes" $? 0 ''
ask explore --plant switch_at_once --trace "$dir/trace" --json; check "explore finds a mistake" $? 1 ''
for field in states depth exhausted violations; do
    grep -q "\"$field\":" "$dir/out" || break
done
check "every field of the contract is in explore --json" $? 0 ''
grep -q '"violations": 1, "violated": \[{"face": "plant", "what": "(b)' "$dir/out"; check "and what is violated" $? 0 ''
ask run --trace "$dir/trace"; check "its trace replays" $? 1 ''
grep -q 'violated: (b)' "$dir/out"; check "and shows what is violated" $? 0 ''
ask explore --face rekeys --depth 6 --json --jobs 2; cp "$dir/out" "$dir/first"
grep -q '"exhausted": false, "violations": 0, "violated": \[\]' "$dir/out"; check "a depth that cuts is said" $? 0 ''
ask explore --face rekeys --depth 6 --json --jobs 1; cmp -s "$dir/out" "$dir/first"
check "explore: the same bytes, however many processes" $? 0 ''
echo "1..$n"
