# Sourced before a command block: a user at a terminal. `lockstep switch`, `primary` and `backup` run on while the
# person goes on typing, as in terminals of their own; `run` and an `attach` that has no end are left after a while.

# The status of everything that ended, a line each.
ended=$SCENE/ended

note() { printf '%s\t%s\n' "$1" "$2" >>"$ended"; }

# Waits until a process listens at the address behind --listen.
await_listen() {
    local address="" tries=0
    while [ $# -gt 0 ]; do
        [ "$1" = --listen ] && address=$2
        shift
    done
    [ -n "$address" ] || return 0
    until (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 400 ] || return 0
        sleep 0.05
    done
}

server() {
    (
        status=0
        command "$@" </dev/null >>"$SCENE/said" 2>&1 || status=$?
        note "$status" "$*"
    ) &
    disown
    await_listen "$@"
}

# Left with Ctrl-C after a while, if it has not ended by then.
visit() {
    local status=0
    timeout --preserve-status -k 10 -s INT "${VISIT_SECONDS:-4}" "$@" </dev/null || status=$?
    note "$status" "$*"
}

lockstep() {
    case "$1" in
        switch) case " $* " in *" --status "*) command lockstep "$@" ;; *) server lockstep "$@" ;; esac ;;
        primary | backup) server lockstep "$@" ;;
        run) visit lockstep "$@" ;;
        attach) case " $* " in *" --until "* | *" --send "*) command lockstep "$@" ;; *) visit lockstep "$@" ;; esac ;;
        log) case " $* " in *" --follow "*) visit lockstep "$@" ;; *) command lockstep "$@" ;; esac ;;
        # Status 1 is an answer: not protected, say.
        status) command lockstep "$@" || [ $? = 1 ] ;;
        *) command lockstep "$@" ;;
    esac
}

etcd() { server etcd "$@"; }
passt() { server passt "$@"; }
nc() { printf 'incr apples\n' | timeout 20 nc -q 2 "$@"; }

# For the scene's own checks: tries a command until it succeeds.
eventually() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { echo "never: $*" >&2; "$@"; return 1; }
        sleep 0.1
    done
}
