package main

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal/configs"
)

// TestDoctorCertificate looks at a certificate of 30 days as time goes by, and at what
// there is without one.
func TestDoctorCertificate(t *testing.T) {
	pairOf := func(dir string, until time.Duration) *configs.TLS {
		certificate(t, dir, until)
		return &configs.TLS{Cert: configs.File(filepath.Join(dir, "tls.crt")), Key: configs.File(filepath.Join(dir, "tls.key"))}
	}
	later := pairOf(t.TempDir(), time.Hour) // of today, which is long after the bubble's time
	synctest.Test(t, func(t *testing.T) {
		pair := pairOf(t.TempDir(), 30*24*time.Hour)
		for _, c := range []struct {
			after  time.Duration
			listen string
			tls    *configs.TLS
			want   string // empty: nothing is said
		}{
			{0, "127.0.0.1:8080", nil, ""},
			{0, "localhost:8080", nil, ""},
			{0, "[::1]:8080", nil, ""},
			{0, "0.0.0.0:8080", nil, "warn  tls: tokens, and what they open, go in the clear to 0.0.0.0:8080 — give it a certificate"},
			{0, ":8080", nil, "warn  tls: tokens, and what they open, go in the clear to :8080"},
			{0, ":8443", pair, "ok    tls: "},
			{0, ":8443", later, " — look at the clock, or renew it"},
			{0, ":8443", &configs.TLS{Cert: pair.Cert, Key: pair.Cert}, "fail  tls: "},
			{24 * 24 * time.Hour, ":8443", pair, "ends soon: it holds until 2000-01-31T00:00:00Z — renew it"},
			{31 * 24 * time.Hour, ":8443", pair, "has ended: it held until 2000-01-31T00:00:00Z — renew it"},
		} {
			began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
			time.Sleep(time.Until(began.Add(c.after)))
			d := &doctor{cfg: &configs.Config{Settings: configs.Settings{Listen: c.listen, TLS: c.tls}}}
			d.certificate()
			got := ""
			for _, f := range d.findings {
				got += f.String()
			}
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("after %v at %s: %q, want … %s …", c.after, c.listen, got, c.want)
			}
		}
	})
}
