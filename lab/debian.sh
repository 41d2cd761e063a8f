# A fresh Debian in a folder, and programs in it, for tests of packages. Source after lab.sh.
#
#   debian_here                        the release at hand: bookworm, trixie
#   debian_folder RELEASE DIR          a minimal Debian of that release, with apt that works. What is downloaded is kept in
#                                      build/debian
#   debian_in DIR COMMAND...           in the folder, in this network namespace, with the /proc, /sys and /dev of this machine, a /run
#                                      of its own, and $DEBIAN_SHARE (default: nothing) as /share
#   debian_host NS DIR COMMAND...      the same in the network namespace NS, with /etc/dovetail, /var/lib/dovetail and /run of
#                                      that host's own (below $LAB_DIR/host-NS)

DEBIAN_CACHE=$LAB_ROOT/build/debian

debian_here()
{
    # shellcheck source=/dev/null
    (. /etc/os-release && echo "$VERSION_CODENAME")
}

debian_mirror()
{
    # shellcheck disable=SC2016
    m=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m 1 '/debian/*$')
    echo "${m:-http://deb.debian.org/debian}"
}

debian_folder()
{
    f_release=$1 f_dir=$2 f_tar=$DEBIAN_CACHE/$1.tar
    mkdir -p "$DEBIAN_CACHE/debs" "$f_dir"
    if [ ! -e "$f_tar" ]; then
        f_script=/usr/share/debootstrap/scripts/$f_release
        [ -e "$f_script" ] || f_script=/usr/share/debootstrap/scripts/sid # one that is newer than this debootstrap
        debootstrap --variant=minbase --include=ca-certificates --cache-dir="$DEBIAN_CACHE/debs" "$f_release" "$f_dir/new" "$(debian_mirror)" "$f_script" \
            >"$LAB_DIR/debootstrap.log" 2>&1 || { tail -n 20 "$LAB_DIR/debootstrap.log"; return 1; }
        # What this machine needs to reach the mirror, it needs too.
        for f in /etc/apt/apt.conf.d/*proxy*; do [ ! -e "$f" ] || cp "$f" "$f_dir/new/etc/apt/apt.conf.d/"; done
        tar -C "$f_dir/new" --one-file-system -cf "$f_tar.new" . && mv "$f_tar.new" "$f_tar" || return 1
        rm -rf "$f_dir/new"
    fi
    tar -C "$f_dir" -xf "$f_tar"
    cp -L /etc/resolv.conf "$f_dir/etc/resolv.conf"
}

# In a mount namespace of its own: nothing of this machine can be found in the folder when it is removed.
DEBIAN_ENTER='d=$1 own=$2; shift 2
mount --bind /proc "$d/proc" && mount --rbind /sys "$d/sys" && mount --rbind /dev "$d/dev" || exit 1
mount -t bpf bpf "$d/sys/fs/bpf" 2>/dev/null
mkdir -p "$d/share"
[ -z "${DEBIAN_SHARE:-}" ] || mount --bind "$DEBIAN_SHARE" "$d/share" || exit 1
if [ -z "$own" ]; then mount -t tmpfs tmpfs "$d/run"; else
    for p in etc/dovetail var/lib/dovetail run; do mount --bind "$own/$p" "$d/$p" || exit 1; done
fi
cd / && exec env -u LD_PRELOAD HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot "$d" "$@"'

debian_in()
{
    e_dir=$1
    shift
    unshare -m --propagation private sh -c "$DEBIAN_ENTER" sh "$e_dir" '' "$@"
}

debian_host()
{
    e_ns=$1 e_dir=$2 e_own=$LAB_DIR/host-$1
    shift 2
    mkdir -p "$e_own/etc" "$e_own/var/lib" "$e_own/run/dovetail"
    [ -e "$e_own/etc/dovetail" ] || cp -a "$e_dir/etc/dovetail" "$e_own/etc/"
    [ -e "$e_own/var/lib/dovetail" ] || cp -a "$e_dir/var/lib/dovetail" "$e_own/var/lib/"
    ip netns exec "$LAB-$e_ns" unshare -m --propagation private sh -c "$DEBIAN_ENTER" sh "$e_dir" "$e_own" "$@"
}
