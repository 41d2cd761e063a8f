#!/bin/sh
# debian/tests as Debian runs them: autopkgtest installs our packages and what each test wants into a fresh folder, and runs it there.
#
#   test/install/autopkgtest.sh [TEST...]      with the packages of build/packages; default: all that debian/tests/control has
set -u
LAB=${LAB:-dtautopkg}
. "$(dirname "$0")/../../lab/lab.sh"
. "$LAB_ROOT/lab/debian.sh"
lab_begin
F=$LAB_DIR/debian
tap_ok "a fresh Debian ($(debian_here))" debian_folder "$(debian_here)" "$F" || exit 1
# Nothing that it installs is started: a strongSwan that runs would have our ports.
printf '#!/bin/sh\nexit 101\n' >"$F/usr/sbin/policy-rc.d"
chmod 755 "$F/usr/sbin/policy-rc.d"
# autopkgtest makes an archive of our packages there.
tap_ok "with what autopkgtest wants of a test bed" debian_in "$F" sh -c 'apt-get -qq update && apt-get -qq -y --no-install-recommends install apt-utils procps' || exit 1
mkdir "$LAB_DIR/dovetail"
(cd "$LAB_ROOT" && git ls-files -z | xargs -0 cp --parents -P -t "$LAB_DIR/dovetail")
only=
for t in "$@"; do only="$only --test-name=$t"; done

# Its chroot(8) mounts nothing. The folder becomes a mount, or `ip netns exec` could not make one of its root.
# shellcheck disable=SC2016,SC2086
unshare -m --propagation private sh -c '
    mount --bind "$1" "$1" && mount --bind /proc "$1/proc" && mount --rbind /sys "$1/sys" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/run" || exit 1
    mount -t bpf bpf "$1/sys/fs/bpf" 2>/dev/null
    d=$1 o=$2
    shift 2
    exec autopkgtest --output-dir "$o/out" --summary "$o/summary" --no-built-binaries "$@" "$o/dovetail/" -- chroot "$d"' sh \
    "$F" "$LAB_DIR" $only "$LAB_ROOT"/build/packages/dovetail_*.deb "$LAB_ROOT"/build/packages/dovetail-nat_*.deb >"$LAB_DIR/log" 2>&1
status=$?

# One line for each test: its name, PASS, FAIL, SKIP, FLAKY, and why.
wanted=$*
for t in ${wanted:-$(sed -n 's/^Tests: //p' "$LAB_ROOT/debian/tests/control")}; do
    result=$(awk -v t="$t" '$1 == t { $1 = ""; print substr($0, 2) }' "$LAB_DIR/summary" 2>/dev/null)
    case $result in
    SKIP*) tap_skip "$t" "$result: $(tail -n 1 "$LAB_DIR/out/$t-stdout" 2>/dev/null)" ;;
    *)
        passed()
        {
            echo "${result:-no result}"
            grep -v '^ok' "$LAB_DIR/out/$t-stdout" || tail -n 20 "$LAB_DIR/log"
            case $result in PASS*) ;; *) false ;; esac
        }
        tap_ok "$t: $(grep -c '^ok' "$LAB_DIR/out/$t-stdout" 2>/dev/null) checks" passed
        ;;
    esac
done
tap_note "autopkgtest's own status: $status (0: all passed, 2: some were skipped)"
tap_ok "autopkgtest is content" [ "$status" = 0 -o "$status" = 2 ]
tap_end
