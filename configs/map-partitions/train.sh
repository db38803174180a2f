#!/bin/sh
# Stands in for a training image: finds the usage that splits the rows of one
# region best, and writes model and metrics where SageMaker expects them.
set -e
cat "$ANNEAL_ML_ROOT"/input/data/training/* |
awk -F, -v column=usage -v region="$SM_HP_REGION" -v model="$ANNEAL_ML_ROOT/model" '
	$NF == "churned" { for (i = 1; i <= NF; i++) if ($i == column) c = i; next }
	$1 == region { n++; x[n] = $c; y[n] = $NF }
	END {
		for (i = 1; i <= n; i++) {
			below = 0
			for (j = 1; j <= n; j++) below += (x[j] + 0 < x[i] + 0) == y[j]
			above = n - below
			if (below > best) { best = below; rule = column " < " x[i] }
			if (above > best) { best = above; rule = column " >= " x[i] }
		}
		print rule > (model "/rule.txt")
		printf "{\"accuracy\": %.4f}\n", best / n > (model "/metrics.json")
	}'
