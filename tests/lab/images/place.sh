# shellcheck shell=sh
# Sourced by the scripts that collect what an image holds: copying from the installed system into /out/IMAGE.

copy() {  # copy IMAGE PATH...: with the libraries a program is linked with, which slim may hold already
    image=$1
    shift
    for path in "$@"; do
        place "$image" "$path"
        for library in $(ldd "$path" 2>/dev/null | grep -o '/[^ ]*' || true); do
            if [ "$image" = slim ] || [ ! -e "/out/slim$(target_of "$library")" ]; then place "$image" "$library"; fi
        done
    done
}
target_of() {  # where a path lies once /lib, /bin and /sbin are links into /usr
    case $1 in /lib/* | /lib64/* | /bin/* | /sbin/*) echo "/usr$1" ;; *) echo "$1" ;; esac
}
place() {
    target=$(target_of "$2")
    mkdir -p "/out/$1$(dirname "$target")"
    cp -L --preserve=mode,timestamps "$2" "/out/$1$target"
}
