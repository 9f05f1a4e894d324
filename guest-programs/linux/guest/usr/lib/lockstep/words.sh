# word NAME: is lockstep.NAME among the words of the kernel's command line? Its value is in $value
# (empty without one). The last of several counts. No process is started for it.
word() {
    value= found=1
    while read -r line; do
        case $line in
            "lockstep.$1") value= found=0 ;;
            "lockstep.$1="*) value=${line#*=} found=0 ;;
        esac
    done </run/lockstep/words
    return $found
}
