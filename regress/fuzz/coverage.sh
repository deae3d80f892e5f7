# shellcheck shell=sh disable=SC2154,SC2164 # run has set it all, and -e
#
# The part of `run' that measures: which lines of the parsers the seeds, and
# what fuzzing found in this build, reach.

PARSERS="ltp-worker/upgrade.c ltp-worker/text.c ltp-worker/ws.c
	ltp-worker/utf8.c ltp-worker/json.c common/number.c
	ltp-worker/frame.c ltp-worker/route.c ltp-worker/session.c
	ltp-worker/trace.c ltp-worker/settings.c
	common/addr.c common/chan.c common/msg.c common/wire.c
	ltpd/keyfile.c ltpd/conf.c ltpd/conf_distributed.c ltpd/conf_keyword.c ltpd/conf_load.c
	ltpd/conf_parse.c ltpd/conf_value.c ltpd/caller.c
	ltp-audit/chain.c ltp-audit/ledger.c
	ltpctl/ask.c ltpctl/canon.c ltpctl/output.c ltpctl/output_json.c
	ltpctl/show.c ltpctl/trace.c ltpctl/wsclient.c"
LEAST=90 # per cent of the lines of each

clang=${FUZZ_CC:-clang}
version=$("$clang" -dumpversion | cut -d . -f 1)
for tool in llvm-profdata llvm-cov; do
	if command -v "$tool-$version" >/dev/null; then
		eval "$(echo "$tool" | tr - _)=$tool-$version"
	else
		command -v "$tool" >/dev/null || bail "this needs $tool"
		eval "$(echo "$tool" | tr - _)=$tool"
	fi
done

build coverage "$clang"
cd "$work/coverage"
rm -f ./*.profraw
objects=
for t in $targets; do
	mkdir -p "$work/corpus/$t"
	# shellcheck disable=SC2046 # words
	LLVM_PROFILE_FILE=$t.profraw "./${t}_fuzz" $(inputs "$t") \
	    $(find "$work/corpus/$t" -maxdepth 0 ! -empty) \
	    >"$work/$t.log" 2>&1 || bail "$t failed, see $work/$t.log"
	objects="$objects -object ./${t}_fuzz"
done
"$llvm_profdata" merge -o all.profdata ./*.profraw

files=
for f in $PARSERS; do
	files="$files $src/$f"
done
# shellcheck disable=SC2086 # words
"$llvm_cov" export -summary-only -instr-profile all.profdata \
    ${objects# -object } $files >summary.json
# shellcheck disable=SC2086
"$llvm_cov" show -instr-profile all.profdata ${objects# -object } $files \
    >lines.txt
"${PYTHON:-python3}" - "$src/" "$LEAST" <<'END'
import json
import sys

source, least = sys.argv[1], int(sys.argv[2])
few = False
print(f"{'':<26} {'lines':>6} {'reached':>8}")
for f in json.load(open("summary.json"))["data"][0]["files"]:
    lines = f["summary"]["lines"]
    low = 100 * lines["covered"] < least * lines["count"]
    few = few or low
    print(f"{f['filename'].removeprefix(source):<26} {lines['count']:>6} "
          f"{lines['percent']:>7.1f}%{' too few' if low else ''}")
print("each line, with how often it was reached: regress/fuzz/work/"
      "coverage/lines.txt")
sys.exit(few)
END
