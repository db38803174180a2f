package demo

import (
	"bytes"
	"testing"
)

func TestMarket(t *testing.T) {
	market := Market(1)
	if got := len(market); got != 1+MarketBatches {
		t.Fatalf("%d files, want a reference and %d batches", got, MarketBatches)
	}
	again, other := Market(1), Market(2)
	for i, f := range market {
		if !bytes.Equal(f.Data, again[i].Data) {
			t.Errorf("%s differs between two markets of one seed", f.Name)
		}
		if bytes.Equal(f.Data, other[i].Data) {
			t.Errorf("%s is the same for two seeds", f.Name)
		}
		rows := parse(t, string(f.Data))
		if len(rows.Records) != f.Rows || f.Rows < 1000 {
			t.Errorf("%s has %d rows and says %d", f.Name, len(rows.Records), f.Rows)
		}
		up, absent := 0, 0
		for _, rec := range rows.Records {
			for i, cell := range rec {
				switch {
				case cell == "UP":
					up++
				case cell == "" && (rows.Header[i] == "temperature" || rows.Header[i] == "wind"):
					absent++
				case cell == "":
					t.Errorf("%s: a row without %s", f.Name, rows.Header[i])
				}
			}
		}
		if share := float64(up) / float64(f.Rows); share < 0.4 || share > 0.6 {
			t.Errorf("%s: %.2f of the rows are UP, want about half", f.Name, share)
		}
		if absent == 0 || absent > f.Rows/20 {
			t.Errorf("%s: %d missing values, want a few", f.Name, absent)
		}
	}
}
