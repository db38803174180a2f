package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
)

// TestKillDetectors kills the daemon at random moments while labels come, and then
// asks each detector what it has found: the same as one that followed the errors
// without a break, in the order in which the labels became events.
func TestKillDetectors(t *testing.T) {
	const files, rows = 40, 50
	var signals strings.Builder
	for _, name := range drift.Detectors() {
		fmt.Fprintf(&signals, "    %s: {source: predictions, path: predictions-, labels: labels-, key: id, prediction: predicted, label: class, detector: %s, window: 7d}\n", name, name)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": "listen: 127.0.0.1:0\nsources:\n  - directory: {path: ./inbox, settle: 20ms}\n",
		"policies/p.yaml": `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: p}
spec:
  model: {group: g}
  signals:
` + signals.String() + `  triggers: [{id: labels, event: {type: Object Created, match: "event.data.object.key.startsWith('labels-')"}}]
  rules: [{id: never, if: "false"}]
`,
		"inbox/.keep": "",
	})
	r := rand.New(rand.NewPCG(7, 7))
	var predictions strings.Builder
	predictions.WriteString("id,predicted\n")
	errors := map[string][]float64{} // by file
	labels := map[string][]byte{}
	for f := range files {
		var text strings.Builder
		text.WriteString("id,class\n")
		name := fmt.Sprintf("labels-%02d.csv", f)
		for i := range rows {
			fmt.Fprintf(&predictions, "%d,a\n", f*rows+i)
			wrong, class := 0.0, "a"
			if r.Float64() < []float64{0.1, 0.4}[f/(files/2)] { // half way they become worse
				wrong, class = 1, "b"
			}
			errors[name] = append(errors[name], wrong)
			fmt.Fprintf(&text, "%d,%s\n", f*rows+i, class)
		}
		labels[name] = []byte(text.String())
	}
	inbox := filepath.Join(dir, "inbox")
	drop(t, inbox, "predictions-1.csv", []byte(predictions.String()))
	p := &process{t: t, dir: dir}
	for dropped, kills := 0, 0; dropped < files; kills++ {
		p.start()
		for end := time.Now().Add(time.Duration(100+r.IntN(300)) * time.Millisecond); time.Now().Before(end) && dropped < files; dropped++ {
			name := fmt.Sprintf("labels-%02d.csv", dropped)
			drop(t, inbox, name, labels[name])
			time.Sleep(time.Duration(10+r.IntN(60)) * time.Millisecond)
		}
		p.kill()
	}
	p = begin(t, dir)

	newest := map[string]anneal.Signal{}
	var order []string // of files with labels
	eventually(t, time.Minute, func() error {
		var all []anneal.Signal
		if err := p.get("signals?limit=0", &all); err != nil {
			return err
		}
		newest = map[string]anneal.Signal{}
		for _, s := range all { // the newest first
			if _, ok := newest[s.Name]; !ok {
				newest[s.Name] = s
			}
		}
		for _, name := range drift.Detectors() {
			if newest[name].N != files*rows {
				return fmt.Errorf("%s has followed %d of %d errors", name, newest[name].N, files*rows)
			}
		}
		var events []anneal.Event
		if err := p.get("events?limit=0", &events); err != nil {
			return err
		}
		order = nil
		for i := len(events) - 1; i >= 0; i-- {
			if strings.HasPrefix(events[i].Subject, "labels-") {
				order = append(order, events[i].Subject)
			}
		}
		return nil
	})
	if len(order) != files {
		t.Fatalf("%d files with labels became %d events", files, len(order))
	}
	found := 0
	for _, name := range drift.Detectors() {
		detector, err := drift.NewDetector(name)
		if err != nil {
			t.Fatal(err)
		}
		want, sum := 0, 0.0
		for _, file := range order {
			for _, wrong := range errors[file] {
				if drift, _ := detector.Add(wrong); drift {
					want++
				}
				sum += wrong
			}
		}
		found += want
		var got struct {
			Drifts int
			Error  float64
		}
		if err := json.Unmarshal(newest[name].Detail, &got); err != nil {
			t.Fatal(err)
		}
		if got.Drifts != want || got.Error != sum/(files*rows) {
			t.Errorf("%s found drift %d times at a mean error of %v, want %d and %v", name, got.Drifts, got.Error, want, sum/(files*rows))
		}
	}
	if found < len(drift.Detectors())-2 {
		t.Errorf("drift was found %d times in all: the test tells too little", found)
	}
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: status %d\n%.2000s", status, out)
	}
}
