#!/usr/bin/env bash
# The whole way of a new user: a repository of the hub (served on this machine) is fetched, converted and
# quantized; SFT in the model's own chat template on ShareGPT data, a reward model, a short PPO; the policy is
# exported, and Ollama answers with it. Every step is a command of docs/.
#
#   clients/pipeline.sh STEER REPOSITORY CLIENTS PYTHON
#
# WORK=FOLDER keeps what is made. REPOSITORY is a folder of safetensors with a tokenizer; CLIENTS is what clients/build.sh built.
set -euo pipefail
steer=$1 repository=$2 clients=$3 python=$4 root=$(cd "$(dirname "$0")/.." && pwd)
work=${WORK:-$(mktemp -d)}
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; [ -n "${WORK:-}" ] || rm -rf "$work"' EXIT
say() { printf '\n== %s\n' "$*"; }

say "a hub with one repository, and ShareGPT data"
mkdir -p "$work/hub/people"
cp -rL "$repository" "$work/hub/people/SmolLM2-135M-Instruct"
cp "$root/testdata/golden/chat/templates/smollm2-135m-instruct.jinja" \
  "$work/hub/people/SmolLM2-135M-Instruct/chat_template.jinja"
# The tokenizer of bench/peers/convert.py names one special token; SmolLM2 has its first 17.
"$python" - "$work/hub/people/SmolLM2-135M-Instruct/tokenizer.json" <<'EOF'
import json, sys
t = json.load(open(sys.argv[1]))
words = sorted(t["model"]["vocab"], key=t["model"]["vocab"].get)[:17]
t["added_tokens"] = [{"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True} for i, w in enumerate(words)]
json.dump(t, open(sys.argv[1], "w"))
EOF
(cd "$root" && "${GO:-go}" build -o "$work/serve" ./internal/hub/hubtest/serve)
"$work/serve" "$work/hub" >"$work/address" &
pids+=($!)
until [ -s "$work/address" ]; do sleep 0.1; done
. "$work/address"
export HF_ENDPOINT HF_HOME="$work/hf"
cd "$work"
"$python" - "$root/demo/assets/data/guanaco/openassistant_best_replies_train.jsonl" >sharegpt.json <<'EOF'
import json, sys
rows = []
for line in open(sys.argv[1]):
    turns = [t.split(": ", 1) for t in json.loads(line)["text"].split("### ")[1:]]
    who = {"Human": "human", "Assistant": "gpt"}
    rows.append({"conversations": [{"from": who[t[0]], "value": t[1]} for t in turns]})
json.dump(rows[:200], sys.stdout, indent=1)
EOF

say "steer fetch, convert, quantize"
"$steer" fetch hf:people/SmolLM2-135M-Instruct
"$steer" model convert hf:people/SmolLM2-135M-Instruct -o base-bf16.gguf
"$steer" model quantize base-bf16.gguf -o base.gguf --type q4_k_m
"$steer" model inspect base.gguf

say "steer data render: what is trained on"
"$steer" data inspect sharegpt.json
"$steer" data render sharegpt.json --model base.gguf --limit 1

say "steer sft, reward, ppo"
"$steer" sft -m base.gguf --train sharegpt.json --eval "" --max-steps 24 --lr 1e-3 --set max_tokens=128 \
  --set mini_batch_size=8 --set pack=none -o sft
"$steer" reward -m base.gguf --sft sft/adapter.gguf --theory harmlessness \
  --train "$root/demo/assets/data/hh-rlhf/harmless-base/train.jsonl.gz" \
  --held-out "$root/demo/assets/data/hh-rlhf/harmless-base/test.jsonl.gz" --max-steps 10 \
  --set mini_batch_size=8 --set max_length=128 -o reward
"$steer" ppo -m base.gguf --sft sft/adapter.gguf --reward reward/adapter.gguf --reward-below sft/adapter.gguf \
  --prompts sharegpt.json --iterations 2 --batch 8 --set mini_batch_size=8 --set micro_batch_size=8 \
  --set max_new_tokens=16 --set max_prompt_tokens=64 --set ppo_epochs=1 --set held_out.limit=8 -o ppo

say "steer generate"
"$steer" generate -m base.gguf -a sft/adapter.gguf -a ppo/adapter.gguf --template model \
  -p "You met a new child at the station. What do you do?" --max-new 24 --temperature 0 | tee steer.txt

say "steer export ollama; ollama create; ollama run"
"$steer" export ollama -m base.gguf -a sft/adapter.gguf -a ppo/adapter.gguf -o steered --temperature 0 --num-predict 24
cat steered/Modelfile
export OLLAMA_HOST=127.0.0.1:$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export OLLAMA_MODELS="$work/ollama" OLLAMA_NO_CLOUD=1
"$clients/bin/ollama" serve >"$work/ollama.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do "$clients/bin/ollama" list >/dev/null 2>&1 && break; sleep 0.2; done
(cd steered && "$clients/bin/ollama" create steered >/dev/null 2>"$work/create.log") || { cat "$work/create.log"; exit 1; }
"$clients/bin/ollama" run steered "You met a new child at the station. What do you do?" 2>/dev/null |
  tee ollama.txt
[ -n "$(tr -d '[:space:]' <ollama.txt)" ] || { echo "Ollama answered nothing"; tail -20 "$work/ollama.log"; exit 1; }
if cmp -s <(tr -d '[:space:]' <steer.txt) <(tr -d '[:space:]' <ollama.txt); then
  echo "steer generate and Ollama say the same"
else
  echo "steer generate and Ollama say different things: near ties fall otherwise where activations are quantized"
fi
say "done: fetched, converted, quantized, trained, steered, exported, answered by Ollama"
