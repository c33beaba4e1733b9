#!/bin/sh
# Runs quickstart.yaml in a folder of its own and shows what came of it. `make demo` starts it:
#
#     sh examples/demo.sh PROGRAM FOLDER
set -eu

mozart=$1
results=$2
job=$(dirname "$0")/quickstart.yaml

title() { printf '\n--- %s\n\n' "$*"; }

title "The job: $job"
"$mozart" run "$job" --workspace "$results"

title "What became of it: mozart status quickstart --batches all"
"$mozart" status quickstart --batches all --workspace "$results"

title "What happened to batch 5, of which the first attempt wrote one file of two"
"$mozart" logs quickstart -n 0 --workspace "$results" | grep 'batch=5'

title "What the sessions wrote"
(cd "$results" && find reports summaries -type f | sort)
printf '\nreports/batch-1.md:\n'
sed 's/^/    /' "$results/reports/batch-1.md"

title "Where things are"
cat <<END
results          $results
log              $results/mozart.log
journal          $results/.mozart/quickstart/journal/
state, readable  $results/quickstart.json

Next: read $job, then docs/getting-started.md.
Try:  $mozart run $job
END
