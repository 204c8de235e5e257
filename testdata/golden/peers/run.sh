#!/bin/bash
# Recomputes the golden numbers with the peers and compares, a line for each file:
#   run.sh PEERS TRL071
# PEERS: the virtual environment of `make golden-peers` with smollm2/ and trl-*/; TRL071: the one of
# trl 0.7.1, left out aloud where it is not. Ends with 1 if a file is off or a script fails.
set -uo pipefail
peers=${1:?usage: run.sh PEERS TRL071} old=${2:?usage: run.sh PEERS TRL071}
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONDONTWRITEBYTECODE=1 TRANSFORMERS_VERBOSITY=error HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TQDM_DISABLE=1
export PYTHONWARNINGS=ignore TRL_EXPERIMENTAL_SILENCE=1 TOKENIZERS_PARALLELISM=false CUDA_VISIBLE_DEVICES=
export LOGLEVEL=ERROR OMP_WAIT_POLICY=PASSIVE
failed=0

versions() { # PYTHON PACKAGE...: one line
  "$1" - "${@:2}" <<'P'
import importlib.metadata as m, platform, sys
print("# Python", platform.python_version(), *(f"{n} {m.version(n)}" for n in sys.argv[1:]), sep=", ")
P
}

peer() { # COMMAND...: its answer; what it says on the side only if it fails
  local log
  log=$(mktemp)
  "$@" 2>"$log" || { failed=1; tail -n 15 "$log"; }
  rm -f "$log"
}

echo "# $(date -u +%Y-%m-%d), $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //')"
versions "$peers/bin/python" torch transformers peft lm_eval scikit-learn scipy statsmodels numpy
peer "$peers/bin/python" "$here/forward.py" "$peers/smollm2/f32"
peer "$peers/bin/python" "$here/lora.py" "$peers/smollm2/f32"
peer "$peers/bin/python" "$here/lmeval.py" "$peers/smollm2/f32"
peer "$peers/bin/python" "$here/statistics_of_peers.py"
echo "# trl 1.16.0; its experimental PPO: trl 1.9.2"
peer env PYTHONPATH="$peers/trl-1.16.0" "$peers/bin/python" "$here/trl_current.py" "$peers/trl-1.9.2"
if [ -x "$old/bin/python" ]; then
  versions "$old/bin/python" trl torch transformers peft accelerate
  peer "$old/bin/python" "$here/trl071.py"
  peer "$old/bin/python" "$here/trl071_step.py"
else
  echo "not recomputed: ppo/trl071.json.gz and ppo/step_S (trl 0.7.1 needs torch 2.1.0, and that Python 3.8 to 3.11)"
fi
exit $failed
