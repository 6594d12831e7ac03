# Sourced by the scripts beside it, with `root` set to the repository: makes .venv where there is
# none, and installs fastw2v into it. Afterwards $python is the interpreter to use.

python="$root/.venv/bin/python"

fail() {
  echo "${0##*/}: $1" >&2
  exit 1
}

make_venv() {
  base=${PYTHON:-python3}
  command -v "$base" >/dev/null 2>&1 ||
    fail "no $base on the PATH; install Python 3.10 or newer, or name one: PYTHON=python3.12 $0"
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    fail "$base is $("$base" --version 2>&1); fastw2v needs 3.10 or newer: PYTHON=python3.12 $0"
  "$base" -c 'import venv' 2>/dev/null || fail "$base has no venv module; install it"
  echo "making .venv with $("$base" --version 2>&1)"
  if "$base" -c 'import ensurepip' 2>/dev/null; then
    "$base" -m venv "$root/.venv" || fail "cannot make $root/.venv"
  else # Debian and Ubuntu without python3-venv: the pip that is there can fill the environment
    "$base" -m venv --without-pip "$root/.venv" &&
      "$base" -m pip -q --disable-pip-version-check --python "$python" install pip ||
      fail "cannot make $root/.venv; try: apt install python3-venv"
  fi
}

# installed STAMP: whether STAMP says that this pyproject.toml was installed, here.
installed() {
  [ -x "$python" ] && [ -f "$1" ] && [ "$(cat "$1")" = "$want" ]
}

# install [EXTRA]: fastw2v with the packages of EXTRA, unless that was done before.
install() {
  extra=${1:-base}
  want="$root $(cksum <"$root/pyproject.toml")"
  for stamp in "$root"/.venv/.installed-*; do
    case $stamp in
      *-"$extra") installed "$stamp" && return ;;
      # Whatever was installed with an extra holds the base as well.
      *) [ "$extra" = base ] && installed "$stamp" && return ;;
    esac
  done
  # No Python there, or a half-made environment of an interrupted first run.
  "$python" -m pip --version >/dev/null 2>&1 || make_venv
  [ "$extra" = base ] && what="$root" || what="$root[$extra]"
  echo "installing fastw2v ($extra) into .venv"
  # Modules are compiled when they are imported: most of what is installed never is.
  "$python" -m pip install -q --no-compile --disable-pip-version-check -e "$what" ||
    fail "pip could not install fastw2v ($extra); the lines above say why"
  echo "$want" >"$root/.venv/.installed-$extra"
}
