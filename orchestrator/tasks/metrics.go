package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/anneal-ml/anneal/orchestrator/tasks/job"
)

// A metricDefinition finds a metric in the log: the first group of Regex is
// its value, the last match is the final one.
type metricDefinition struct{ Name, Regex string }

// A metric is an element of FinalMetricDataList.
type metric struct {
	MetricName string
	Timestamp  int64 // ms since 1970
	Value      float64
}

// metrics reads the job's metrics: by their definitions from the log, and
// every other number of a flat metrics.json in output/data or model.
func (j *mlJob) metrics(o job.Outcome) ([]metric, error) {
	values := map[string]float64{}
	for _, dir := range []string{"model", filepath.Join("output", "data")} {
		data, err := os.ReadFile(filepath.Join(j.dir, dir, "metrics.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var flat map[string]any
		if err := json.Unmarshal(data, &flat); err != nil {
			return nil, fmt.Errorf("%s/metrics.json: %w", dir, err)
		}
		for name, v := range flat {
			if f, ok := v.(float64); ok {
				values[name] = f
			}
		}
	}
	if defs := j.in.AlgorithmSpecification.MetricDefinitions; len(defs) > 0 {
		log, err := os.ReadFile(filepath.Join(j.dir, job.Log))
		if err != nil {
			return nil, err
		}
		for _, d := range defs {
			re, err := regexp.Compile(d.Regex)
			if err != nil {
				return nil, err // unreachable: checked before the job was accepted
			}
			for _, m := range re.FindAllSubmatch(log, -1) {
				if f, err := strconv.ParseFloat(string(m[min(1, len(m)-1)]), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
					values[d.Name] = f
				}
			}
		}
	}
	all := []metric{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all = append(all, metric{name, o.Ended.UnixMilli(), values[name]})
	}
	return all, nil
}
