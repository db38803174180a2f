package main

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A certificate that is renewed where it lies is used without a restart, and one that
// is no good is not.
func TestKeyPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
		certificate(t, dir, time.Hour)
		var log bytes.Buffer
		p, err := openPair(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		newest := func() *tls.Certificate {
			t.Helper()
			pair, err := p.newest(nil)
			if err != nil {
				t.Fatal(err)
			}
			return pair
		}
		first := newest()
		certificate(t, dir, time.Hour)
		if newest() != first {
			t.Error("the files are read for each connection")
		}
		time.Sleep(pairEvery)
		second := newest()
		if second.Leaf.Equal(first.Leaf) {
			t.Error("the renewed certificate is not used")
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(pairEvery)
			if newest() != second {
				t.Error("without its key, the last certificate is not used")
			}
		}
		certificate(t, dir, time.Hour)
		time.Sleep(pairEvery)
		if newest().Leaf.Equal(second.Leaf) {
			t.Error("the certificate with its key is not used")
		}
		if got := strings.Count(log.String(), "\n"); got != 3 {
			t.Errorf("the log has %d lines, want a renewal, a loss and a renewal:\n%s", got, &log)
		}
	})
}
