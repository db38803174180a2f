package drift

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/drift/stream"
)

// parts are the values of a stream: a list of numbers and samples, joined.
type parts []float64

func (p *parts) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, part := range list {
		if !strings.HasPrefix(string(part), "[") && !strings.HasPrefix(string(part), "{") {
			part = json.RawMessage("[" + string(part) + "]")
		}
		var s sample
		if err := json.Unmarshal(part, &s); err != nil {
			return err
		}
		*p = append(*p, s...)
	}
	return nil
}

// A Detector is what package stream has several of.
type Detector = stream.Detector

// Detectors are those that [NewDetector] makes.
func Detectors() []string {
	return []string{"adwin", "adwin_keep", "ddm", "eddm", "hddm_a", "hddm_a_two_sided", "hddm_w", "hddm_w_two_sided", "page_hinkley", "kswin"}
}

// NewDetector makes a detector with its defaults. adwin_keep keeps the newer part
// of its window after drift, as the paper has it; kswin draws from seed 0.
func NewDetector(name string) (Detector, error) {
	if name == "kswin" {
		return stream.NewKSWIN(0), nil
	}
	if !slices.Contains(Detectors(), name) {
		return nil, fmt.Errorf("unknown detector %q (have %s)", name, strings.Join(Detectors(), ", "))
	}
	return detection{Detector: name}.detector()
}

// detection runs a detector over a stream. Options that are nil are its own.
type detection struct {
	Detector  string
	Delta     *float64 // of ADWIN and Page-Hinkley
	Threshold *float64 // of Page-Hinkley
	Stream    parts
}

func (d detection) detector() (Detector, error) {
	set := func(option, value *float64) {
		if value != nil {
			*option = *value
		}
	}
	name, twoSided := strings.CutSuffix(d.Detector, "_two_sided")
	switch {
	case name == "hddm_a":
		return stream.NewHDDMA(twoSided), nil
	case name == "hddm_w":
		return stream.NewHDDMW(twoSided), nil
	case twoSided:
	case name == "ddm":
		return stream.NewDDM(), nil
	case name == "eddm":
		return stream.NewEDDM(), nil
	case name == "adwin", name == "adwin_keep":
		a := stream.NewADWIN(name == "adwin_keep")
		set(&a.Delta, d.Delta)
		return a, nil
	case strings.HasPrefix(name, "page_hinkley"): // what follows names the threshold
		p := stream.NewPageHinkley()
		set(&p.Delta, d.Delta)
		set(&p.Threshold, d.Threshold)
		return p, nil
	}
	return nil, fmt.Errorf("unknown detector %q (have adwin, adwin_keep, ddm, eddm, hddm_a, hddm_a_two_sided, hddm_w, hddm_w_two_sided, page_hinkley)", d.Detector)
}

// listed is how many places of drifts and of warnings are named; all are counted.
const listed = 200

func evalDetection(d detection) (results, error) {
	finder, err := d.detector()
	if err != nil {
		return nil, err
	}
	if err := finite(d.Stream); err != nil {
		return nil, err
	}
	drifts, warnings, warned := []int{}, []int{}, false
	for i, x := range d.Stream {
		drift, warning := finder.Add(x)
		if drift {
			drifts = append(drifts, i)
		}
		if warning && !warned {
			warnings = append(warnings, i)
		}
		warned = warning
	}
	r := results{"drift": drifts[:min(listed, len(drifts))], "n_drift": len(drifts),
		"warning_starts": warnings[:min(listed, len(warnings))], "n_warning_starts": len(warnings)}
	if a, ok := finder.(*stream.ADWIN); ok {
		r["final_width"], r["final_estimation"] = a.Width(), a.Mean()
	}
	return r, nil
}

// windowing runs KSWIN over a stream, once for each seed from 0.
type windowing struct {
	Stream   parts
	ChangeAt int `json:"change_at"` // place of the first value of another law
	RunUntil int `json:"run_until"` // values, 0 for all
	Seeds    int
}

func evalKSWIN(w windowing) (results, error) {
	if err := finite(w.Stream); err != nil {
		return nil, err
	}
	if w.RunUntil > 0 {
		w.Stream = w.Stream[:min(w.RunUntil, len(w.Stream))]
	}
	if w.Seeds < 1 || w.Seeds > 1000 {
		return nil, fmt.Errorf("%d seeds: want 1 to 1000", w.Seeds)
	}
	earliest, latest, most, sum := -1, -1, 0, 0
	for seed := range w.Seeds {
		d := stream.NewKSWIN(uint32(seed))
		before, first := 0, -1
		for i, x := range w.Stream {
			drift, _ := d.Add(x)
			switch {
			case drift && i < w.ChangeAt:
				before++
			case drift && first < 0:
				first = i
			}
		}
		if first < 0 {
			return nil, errors.New("the change was not found with every seed")
		}
		if earliest < 0 || first < earliest {
			earliest = first
		}
		latest, most = max(latest, first), max(most, before)
		sum += before
	}
	return results{"first_drift_after_change_min": earliest, "first_drift_after_change_max": latest,
		"false_drifts_mean": float64(sum) / float64(w.Seeds), "false_drifts_max": most}, nil
}
