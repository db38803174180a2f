#!/bin/sh
# Stands in for a training image: finds the value of a column that splits the
# rows best, and writes model and metrics where SageMaker expects them. The model goes
# by that column alone, and says so: no other can make drift.
set -e
cat "$ANNEAL_ML_ROOT"/input/data/training/* |
awk -F, -v column="${SM_HP_COLUMN:-usage}" -v model="$ANNEAL_ML_ROOT/model" '
	$NF == "churned" { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
	{ n++; x[n] = $c; y[n] = $NF }
	END {
		for (i = 1; i <= n; i++) {
			below = 0
			for (j = 1; j <= n; j++) below += (x[j] + 0 < x[i] + 0) == y[j]
			above = n - below
			if (below > best) { best = below; rule = column " < " x[i] }
			if (above > best) { best = above; rule = column " >= " x[i] }
		}
		print rule > (model "/rule.txt")
		printf "{\"accuracy\": %.4f, \"importance\": {\"%s\": 1}}\n", best / n, column > (model "/metrics.json")
	}'
