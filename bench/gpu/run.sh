#!/bin/sh
# Sets up a bare NVIDIA Linux machine from the files beside this script, without a network, and measures hotset on it.
#
#   run.sh all            everything that fits the time, most valuable first
#   run.sh <stage>...     stages: see the list in README.md
#   run.sh --small ...    the same with a small model and few cases: whether everything works, on any adapter
#
# Results go to $OUT (default ./out), one file a stage, written as they come. $LIMIT seconds (default 570) for all stages
# together: what does not fit is not begun, and what is under way then is ended, with what it has written.
# MODEL, CASES: what 8x7b measures, if something else.
# HOTSET_HOME: where to unpack (default a folder of the system's temporary one). VK_DRIVER_FILES: the Vulkan driver, if not NVIDIA's.
set -u
small=
if [ "${1:-}" = --small ]; then small=1; shift; fi
here=$(cd "$(dirname "$0")" && pwd)
home=${HOTSET_HOME:-${TMPDIR:-/tmp}/hotset-gpu}
out=${OUT:-$PWD/out}
limit=${LIMIT:-570}
began=$(date +%s)
mkdir -p "$home/lib" "$out" || exit 1
out=$(cd "$out" && pwd)

# seconds_of <most>: what is left of the time, <most> at most
seconds_of() {
  seconds=$(left)
  if [ "$seconds" -gt "$1" ]; then seconds=$1; fi
  echo "$seconds"
}

# begun_within <most>: seconds after which a stage begins no case: three quarters of what it has
begun_within() {
  seconds=$(seconds_of "$1")
  echo $((seconds > 40 ? seconds * 3 / 4 : 1))
}

left() { echo $((limit - $(date +%s) + began)); }

# unpack <name>: the file <name>.xz or <name>.gz beside this script, to stdout
unpack() {
  if [ -f "$here/$1.gz" ]; then gzip -dc "$here/$1.gz"
  elif command -v xz >/dev/null 2>&1; then xz -dc "$here/$1.xz"
  else python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), sys.stdout.buffer)' "$here/$1.xz"
  fi
}

has_library() { ldconfig -p 2>/dev/null | grep -qF "	$1 "; }

set_up() {
  pack=$(cksum "$here"/app.tar.* "$here"/dawn.node.* "$here"/node.*)
  if [ "$(cat "$home/pack" 2>/dev/null)" != "$pack" ]; then
    unpack app.tar | tar -xf - -C "$home" || exit 1
    mkdir -p "$home/node_modules/webgpu/dist/linux-x64"
    unpack dawn.node > "$home/node_modules/webgpu/dist/linux-x64/dawn.node" || exit 1
    unpack node > "$home/node.part" && chmod +x "$home/node.part" && mv "$home/node.part" "$home/node" || exit 1
    echo "$pack" > "$home/pack" # last: a set-up that was cut off begins again
  fi
  for file in "$here"/lib/*; do
    name=$(basename "$file")
    has_library "$name" || ln -sf "$file" "$home/lib/$name"
  done
  # The driver's own library may lie outside the loader's path.
  LD_LIBRARY_PATH=$home/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  for folder in /usr/local/nvidia/lib64 /usr/local/nvidia/lib; do
    if [ -d "$folder" ]; then LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$folder; fi
  done
  export LD_LIBRARY_PATH
  if [ -z "${VK_DRIVER_FILES:-}" ]; then
    for folder in /usr/share/vulkan/icd.d /etc/vulkan/icd.d /usr/local/nvidia/share/vulkan/icd.d; do
      if [ -f "$folder/nvidia_icd.json" ]; then VK_DRIVER_FILES=$folder/nvidia_icd.json; break; fi
    done
    if [ -z "${VK_DRIVER_FILES:-}" ]; then
      # No manifest: the library that it would name.
      library=libGLX_nvidia.so.0
      for folder in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/local/nvidia/lib64; do
        if [ -e "$folder/$library" ]; then library=$folder/$library; break; fi
      done
      printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$library" > "$home/nvidia_icd.json"
      VK_DRIVER_FILES=$home/nvidia_icd.json
    fi
    export VK_DRIVER_FILES
  fi
}

# limited <stage> <most> <command>...: runs it within the time that is left, and within <most> seconds
limited() {
  stage=$1
  seconds=$(seconds_of "$2")
  shift 2
  if [ "$seconds" -lt 10 ]; then echo "$stage: not begun, no time is left"; failed=1; return; fi
  echo "$stage: at most $seconds s"
  timeout "$seconds" "$@" || { echo "$stage: exit code $?"; failed=1; }
}

describe() {
  echo "commit $(cat "$here/commit.txt")"
  uname -a
  command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv
  grep -m1 'model name' /proc/cpuinfo
  free -g 2>/dev/null | head -2
  echo "VK_DRIVER_FILES=$VK_DRIVER_FILES"
  echo "LD_LIBRARY_PATH=$LD_LIBRARY_PATH"
  ls -l "$home/lib"
  "$home/node" "$home/dist/src/cli/main.js" devices
}

# profile <stage> <most> <model> <weights> <cases> [tokens]
profile() {
  limited "$1" "$2" "$home/node" "$home/dist/bench/gpu/profile.js" --model "$3" --weights "$4" --cases "$5" --tokens "${6:-32}" \
    --budget "$(begun_within "$2")" --name "$1" --out "$out/profile-$1.json"
}

has_llama() { [ -f "$here/llama.tar.xz" ] || [ -f "$here/llama.tar.gz" ]; }

# llama <stage> <model> <contexts> <prompts>: llama.cpp, if the pack carries it; its file of weights stays in $home/gguf
llama() {
  if ! [ -d "$home/node_modules/@node-llama-cpp" ]; then
    if ! has_llama; then
      echo "$1: this pack was made without --llama"; failed=1; return
    fi
    mkdir -p "$home/llama.part" && unpack llama.tar | tar -xf - -C "$home/llama.part" || exit 1
    mv "$home/llama.part/node_modules/@node-llama-cpp" "$home/node_modules/" && rm -r "$home/llama.part" || exit 1
  fi
  HOTSET_BENCH_CACHE=$home/gguf limited "$1" "$limit" "$home/node" "$home/dist/bench/gpu/llama.js" --model "$2" --contexts "$3" --prompts "$4" \
    --tokens "${5:-32}" --budget "$(begun_within "$limit")" --out "$out/$1.json"
}

# residency <stage> <model> <tokens>: no round begins in the last quarter of the time
residency() {
  limited "$1" "$limit" "$home/node" "$home/dist/bench/gpu/residency.js" --model "$2" --slots 4 --tokens "$3" --warm-up "$3" \
    --budget "$(begun_within "$limit")" --out "$out/$1.json"
}

# conformance <name of the result> <most> <cases: a regular expression> [true: also those that repeat others]
conformance() {
  limited "$1" "$2" env "CI=${4:-}" "$home/node" "$home/dist/test/support/node_host.js" "$home/dist/test/backend/webgpu.test.js" \
    "$home/dist/test/backend/webgpu_profile.test.js" -t "$3" > "$out/$1.txt" 2>&1
  grep -v '^passed' "$out/$1.txt" | tail -n 60
  echo "$1: $(grep -c '^passed' "$out/$1.txt") passed, $(grep -c '^failed' "$out/$1.txt") failed"
}

narrow="synthetic:mixtral-8x7b?hidden_size=256&intermediate_size=448&num_attention_heads=4&num_key_value_heads=2&vocab_size=1024"
quick="$narrow&layers=3"
if [ -n "$small" ]; then
  model=${MODEL:-$narrow} CASES=${CASES:-1@0,p32,16@0,1@100} some='loading|embed' every='loading|embed|norm'
  wide=$narrow contexts=0,64 prompts=32 tokens=4
else
  model=${MODEL:-synthetic:mixtral-8x7b} some='' every=''
  wide=synthetic:mixtral-8x22b contexts=0,4096,32600 prompts=32,128,512,2048 tokens=32
fi
with=$(case $model in *\?*) echo "&" ;; *) echo "?" ;; esac)
# Decoding alone and prompts say most, then the numbers of rows; what takes long or much memory comes last.
cases=${CASES:-1@0,p512,16@0,1@4096,4@0,64@0,p2048,1@32600,2@0,8@0,32@0,p128,p32,16@4096,4@4096,64@4096,16@32600,2@4096,8@4096,32@4096,4@32600}
set_up
failed=0
if [ "$*" = all ]; then
  set -- setup conformance-quick 8x7b 8x7b-q4_k llama-8x7b conformance
  if ! has_llama; then echo "llama-8x7b: left out, this pack was made without --llama"; set -- setup conformance-quick 8x7b 8x7b-q4_k conformance; fi
fi
for stage in "$@"; do
  case $stage in
    setup) describe > "$out/setup.txt" 2>&1 || failed=1; cat "$out/setup.txt" ;;
    conformance-quick) conformance "$stage" 75 "((?<!robust) conforms > |forms of a GPU).*($some)" ;;
    conformance) conformance "$stage" "$limit" "${every:-.}" true ;;
    quick) profile quick "$limit" "$quick" q4 1@0,16@0,1@1000,p64 4 ;;
    8x7b) profile "$stage" 270 "$model" q4 "$cases" ;;
    8x7b-q4_k) profile "$stage" 90 "$model${with}layers=8" q4_k "$cases" ;;
    8x22b) profile "$stage" "$limit" "$wide" q4 "$cases" ;;
    engine-8x7b)
      limited "$stage" "$limit" "$home/node" "$home/dist/src/cli/main.js" bench "$model" --backend webgpu --weights q4 --gpu-memory 60GiB \
        --prompt-tokens 512 --decode-tokens 128 --repeats 3 --json > "$out/$stage.json" 2> "$out/$stage.txt"
      cat "$out/$stage.json" "$out/$stage.txt" ;;
    residency-quick) residency "$stage" "synthetic:mixtral-8x7b?layers=2&hidden_size=512&intermediate_size=1792" 8 ;;
    residency) residency "$stage" "$model${with}layers=8" 64 ;;
    llama-quick) llama "$stage" "$quick" 0,64 64 4 ;;
    llama-8x7b) llama "$stage" "$model" "$contexts" "$prompts" "$tokens" ;;
    *) echo "unknown stage $stage: setup conformance-quick conformance quick 8x7b 8x7b-q4_k 8x22b engine-8x7b residency-quick residency llama-quick llama-8x7b"; failed=1 ;;
  esac
done
exit $failed
